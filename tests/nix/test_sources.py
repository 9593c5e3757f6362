"""The .nix files and scripts as they stand: parsed, formatted, without dead names; nothing secret in what is rendered."""

import re
import unittest

from support import CAMERAS, FORKY, GOLDEN, HOSTS, ROOT, WORK, in_forky, needs_forky, run

NIX = [ROOT / "flake.nix", *sorted((ROOT / "nixos").rglob("*.nix")), *sorted((ROOT / "tests/nix").glob("*.nix"))]
SCRIPTS = [*sorted((ROOT / "nixos/image").glob("*.sh")), ROOT / "tests/nix/run", ROOT / "tests/chroot"]


class Sources(unittest.TestCase):
    @needs_forky
    def test_every_nix_file_parses(self):
        self.assertGreater(len(NIX), 20)
        for file in NIX:
            copy = FORKY / "tmp/parsed.nix"
            copy.write_text(file.read_text())
            parsed = in_forky("env", "HOME=/tmp", "NIX_STATE_DIR=/tmp/nix", "nix-instantiate", "--parse", "/tmp/parsed.nix")
            self.assertEqual(parsed.returncode, 0, f"{file}: {parsed.stdout}")

    @needs_forky
    def test_a_broken_nix_file_does_not_parse(self):
        (FORKY / "tmp/parsed.nix").write_text("{ a = 1 }")
        parsed = in_forky("env", "HOME=/tmp", "NIX_STATE_DIR=/tmp/nix", "nix-instantiate", "--parse", "/tmp/parsed.nix")
        self.assertNotEqual(parsed.returncode, 0)

    def test_every_nix_file_is_formatted(self):
        checked = run(WORK / "tools/bin/nixfmt", "--check", *NIX)
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def test_no_name_in_a_nix_file_is_unused(self):
        checked = run(WORK / "tools/bin/deadnix", "--fail", *NIX)
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def test_scripts_pass_shellcheck(self):
        checked = run("shellcheck", "--shell=bash", *SCRIPTS)
        self.assertEqual(checked.returncode, 0, checked.stdout)


class Secrets(unittest.TestCase):
    def test_nothing_secret_is_rendered(self):
        for host in HOSTS:
            for path in (GOLDEN / host).rglob("*"):
                if path.is_file():
                    self.assertNotRegex(path.read_text(), r"BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}", f"{path}")

    def test_secrets_are_credentials(self):
        named = 0
        for host in CAMERAS:
            text = (GOLDEN / host / "etc/watchtower/watchtower.toml").read_text()
            unit = (GOLDEN / host / "etc/systemd/system/watchtower.service").read_text()
            for key, value in re.findall(r'^(\w+_file|public_key_path) = "(.*)"$', text, re.M):
                named += 1
                self.assertTrue(value.startswith("/run/credentials/watchtower.service/"), f"{host}: {key}")
                self.assertRegex(unit, rf"(?m)^LoadCredential={re.escape(value.rsplit('/')[-1])}:/(?!nix/store)")
        self.assertGreater(named, 4)

    def test_keys_of_nginx_are_credentials(self):
        for host in HOSTS:
            text = (GOLDEN / host / "nix/store/nginx.conf").read_text()
            keys = re.findall(r"(?:ssl|proxy_ssl)_certificate_key ([^;]+);", text)
            self.assertTrue(keys)
            for key in keys:
                self.assertTrue(key.startswith("/run/credentials/nginx.service/"), f"{host}: {key}")
