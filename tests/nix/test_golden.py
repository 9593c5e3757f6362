"""The rendered units, nginx.conf, nftables and rules, tried with the programs that read them on the appliance."""

import json
import os
import re
import shutil
import unittest

from support import CAMERAS, FORKY, GOLDEN, HOSTS, ROOT, install, in_forky, needs_forky, run

# systemd-analyze security: what a unit may still do, 0 (nothing) to 10.
EXPOSURE = {"watchtower": 1.5, "watchtower-serial": 1.0, "watchtower-fan": 1.0}


def units(host):
    return sorted((GOLDEN / host / "etc/systemd/system").iterdir())


def text(host, name):
    return (GOLDEN / host / name).read_text()


@needs_forky
class Units(unittest.TestCase):
    def test_systemd_accepts_them(self):
        for host in HOSTS:
            install(host)
            for unit in units(host):
                verified = in_forky("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"/etc/systemd/system/{unit.name}")
                # Keys that only NixOS reads, and units of systemd itself that a chroot has no state for.
                said = [line for line in verified.stdout.splitlines() if "X-" not in line and unit.name in line]
                self.assertEqual((verified.returncode, said), (0, []), f"{host} {unit.name}: {verified.stdout}")

    def test_systemd_refuses_a_wrong_one(self):
        install("usb")
        unit = FORKY / "etc/systemd/system/watchtower.service"
        unit.write_text(unit.read_text().replace("Type=notify", "Type=notifying"))
        verified = in_forky("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "/etc/systemd/system/watchtower.service")
        self.assertIn("notifying", verified.stdout)

    def test_exposure(self):
        measured = 0
        for host in CAMERAS:
            install(host)
            for name, most in EXPOSURE.items():
                if not (GOLDEN / host / f"etc/systemd/system/{name}.service").exists():
                    continue
                said = in_forky("systemd-analyze", "security", "--offline=true", "--no-pager", f"/etc/systemd/system/{name}.service").stdout
                level = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1])
                print(f"\n{host} {name}: {level} of at most {most}", end="")
                self.assertLessEqual(level, most, said)
                self.assertNotIn("ignoring", said)
                measured += 1
        self.assertEqual(measured, 7)

    def test_a_loose_unit_is_seen(self):
        install("usb")
        unit = FORKY / "etc/systemd/system/watchtower.service"
        unit.write_text(re.sub(r"^(Protect|Private|System|Restrict|Capab).*\n", "", unit.read_text(), flags=re.M))
        said = in_forky("systemd-analyze", "security", "--offline=true", "--no-pager", "/etc/systemd/system/watchtower.service").stdout
        self.assertGreater(float(re.search(r"level for \S+: ([\d.]+)", said)[1]), EXPOSURE["watchtower"])


class Words(unittest.TestCase):
    """What no program checks."""

    def test_services_are_watched_and_not_restarted_for_a_faulty_configuration(self):
        for host in CAMERAS:
            for unit in units(host):
                if unit.stem not in EXPOSURE or unit.suffix != ".service":
                    continue
                for line in ("Type=notify", "Restart=always", "RestartPreventExitStatus=78", "DevicePolicy=closed", "WatchdogSec=60"):
                    self.assertRegex(unit.read_text(), rf"(?m)^{line}$", f"{host} {unit.name}")
                self.assertRegex(unit.read_text(), r"(?m)^(MemoryMax|TasksMax)=")

    def test_fan_and_serial_have_no_network(self):
        for host in ("full", "vm"):
            for name in ("watchtower-fan", "watchtower-serial"):
                unit = text(host, f"etc/systemd/system/{name}.service")
                self.assertIn("\nPrivateNetwork=true\n", unit)
                self.assertEqual(re.findall(r"^RestrictAddressFamilies=(.*)", unit, re.M), ["AF_UNIX"])

    def test_a_camera_without_uploads_has_no_network(self):
        self.assertIn("\nPrivateNetwork=true\n", text("usb", "etc/systemd/system/watchtower.service"))
        self.assertIn("\nPrivateNetwork=false\n", text("full", "etc/systemd/system/watchtower.service"))

    def test_the_daemon_is_in_no_group_of_nginx(self):
        for host in CAMERAS:
            groups = re.findall(r"^(?:Supplementary)?Groups?=(.*)", text(host, "etc/systemd/system/watchtower.service"), re.M)
            self.assertNotIn("nginx", " ".join(groups).split())
            self.assertIn("\nSocketGroup=nginx\n", text(host, "etc/systemd/system/watchtower.socket"))

    def test_only_the_declared_devices(self):
        self.assertEqual(re.findall(r"^DeviceAllow=(.*)", text("usb", "etc/systemd/system/watchtower.service"), re.M), ["char-video4linux rw"])
        rules = text("vm", "etc/udev/rules.d/99-local.rules")
        self.assertEqual(sorted(re.findall(r'KERNEL=="(video\d+)"', rules)), ["video20", "video21", "video22"])

    def test_a_class_of_devices_is_known_before_it_is_allowed(self):
        for host, name, driver in [("usb", "watchtower", "videodev"), ("vm", "watchtower-serial", "cdc_acm"), ("vm", "watchtower-serial", "usbserial")]:
            unit = text(host, f"etc/systemd/system/{name}.service")
            for key in ("After", "Wants"):
                self.assertRegex(unit, rf"(?m)^{key}=.*\bmodprobe@{driver}\.service\b", f"{host} {name}")

    def test_the_hardware_encoder_may_be_opened(self):
        for host in CAMERAS:
            self.assertIn('ATTR{name}=="bcm2835-codec-encode", GROUP="watchtower-camera"', text(host, "etc/udev/rules.d/99-local.rules"))
            self.assertRegex(text(host, "etc/systemd/system/watchtower.service"), r"(?m)^DeviceAllow=char-video4linux rw$")

    def test_only_the_daemon_sees_the_memory(self):
        for host in CAMERAS:
            for name in EXPOSURE:
                unit = GOLDEN / host / f"etc/systemd/system/{name}.service"
                if unit.exists():
                    self.assertIn(f"\nProcSubset={'all' if name == 'watchtower' else 'pid'}\n", unit.read_text(), f"{host} {name}")

    def test_the_image_asks_for_the_revocation_list_and_misses_it_aloud(self):
        self.assertNotIn("clientCrl", (ROOT / "nixos/hosts/full.nix").read_text())
        unit, crl = text("full", "etc/systemd/system/nginx.service"), "/var/lib/watchtower-tls/clients-crl.pem"
        self.assertIn("ssl_crl /run/credentials/nginx.service/watchtower-clients-crl.pem;", text("full", "nix/store/nginx.conf"))
        self.assertIn(f"\nLoadCredential=watchtower-clients-crl.pem:{crl}\n", unit)
        # A condition that does not hold is passed over without a word.
        self.assertNotIn(f"ConditionPathExists={crl}", unit)
        self.assertIn(f'"{crl}"', text("full", "etc/systemd/system/watchtower-first-boot.service"))

    def test_the_serial_line_is_the_microcontrollers(self):
        # By its node: the link may be made after the unit has started.
        self.assertIn("\nDeviceAllow=/dev/ttyAMA0 rw\n", text("full", "etc/systemd/system/watchtower-serial.service"))
        meta = json.loads(text("full", "meta.json"))
        self.assertFalse([p for p in meta["kernelParams"] if re.match(r"console=tty(S|AMA)", p)])
        self.assertIn("root=fstab", meta["kernelParams"])
        for tty in ("ttyS0", "ttyAMA0", "ttyAMA10"):
            self.assertIn(f"serial-getty@{tty}.service", meta["disabledUnits"])

    def test_config_txt_is_what_the_board_needs(self):
        lines = text("full", "boot/firmware/config.txt").splitlines()
        for line in ("kernel=u-boot.bin", "arm_64bit=1", "enable_uart=1", "dtoverlay=disable-bt", "start_x=1", "gpu_mem=128",
                     "camera_auto_detect=0", "gpio=5=op,dh", "gpio=17=pu"):
            self.assertIn(line, lines)

    def test_the_fan_runs_on_when_its_service_ends(self):
        parameters = json.loads(text("full", "meta.json"))["kernelParams"]
        for driver in ("pinctrl_bcm2835", "pinctrl_rp1"):
            self.assertIn(f"{driver}.persist_gpio_outputs=1", parameters)

    def test_every_location_says_who_asks(self):
        for host in HOSTS:
            conf = text(host, "nix/store/nginx.conf")
            proxied = [block for block in re.findall(r"location [^\n]*\{\n(.*?)\n    \}", conf, re.S) if "proxy_pass" in block]
            self.assertGreaterEqual(len(proxied), 2)
            for block in proxied:
                for name in ("X-Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Host", "X-Forwarded-For", "Forwarded", "Host"):
                    self.assertEqual(len(re.findall(rf"(?m)^ *proxy_set_header {name} ", block)), 1, f"{host}: {name} in {block}")
                self.assertIn("proxy_buffering off;", block)

    def test_every_path_of_the_api_is_passed_on_and_no_other(self):
        paths = list(json.loads((ROOT / "tests/data/openapi.json").read_text())["paths"])
        paths += [f"/{file.name}" for file in (ROOT / "web").iterdir() if file.name != "index.html"] + ["/"]
        self.assertGreater(len(paths), 30)
        for host, prefix in [("usb", ""), ("fleet", "/front")]:
            patterns = [re.compile(pattern) for pattern in re.findall(r'location ~ "(.*)" \{', text(host, "nix/store/nginx.conf"))]
            for path in paths:
                path = path.replace("{camera}", "front").replace("{day}", "2026-11-26").replace("{time}", "12.25.43")
                self.assertTrue(any(p.search(prefix + path) for p in patterns), f"{host}: {path}")
            for path in ("/etc/passwd", "/api/", "/api/statuses", "/mjpeg/x", "/x/api/status", "/cameras/a/b/api/status", "/api/recordings/a/b/c"):
                self.assertFalse(any(p.search(prefix + path) for p in patterns), f"{host}: {path}")

    def test_the_fleet_proxy_verifies_cameras(self):
        conf = text("fleet", "nix/store/nginx.conf")
        self.assertEqual(conf.count("proxy_pass https://"), conf.count("proxy_ssl_verify on;"))
        self.assertEqual(conf.count("proxy_ssl_verify on;"), conf.count("proxy_ssl_name "))


class Configuration(unittest.TestCase):
    def test_the_daemon_accepts_it(self):
        for host in CAMERAS:
            checked = run(os.environ["WATCHTOWER"], "check-config", GOLDEN / host / "etc/watchtower/watchtower.toml")
            self.assertEqual(checked.returncode, 0, f"{host}: {checked.stdout}")


@needs_forky
class Nginx(unittest.TestCase):
    def test_nginx_accepts_it(self):
        for host in HOSTS:
            install(host)
            self.certificates()
            tested = in_forky("nginx", "-t", "-c", "/nix/store/nginx.conf")
            self.assertEqual(tested.returncode, 0, f"{host}: {tested.stdout}")
            self.assertNotIn("[warn]", re.sub(r'the "user" directive.*', "", tested.stdout))

    def test_nginx_accepts_the_plain_fleet_proxy(self):
        install("fleet")
        self.certificates()
        shutil.rmtree(FORKY / "etc/nginx/watchtower", ignore_errors=True)
        shutil.copytree(FORKY / "run/credentials/nginx.service", FORKY / "etc/nginx/watchtower")
        for file in (FORKY / "etc/nginx/watchtower").glob("watchtower-fleet-*"):
            file.rename(file.with_name(file.name.removeprefix("watchtower-fleet-")))
        (FORKY / "etc/nginx/conf.d/watchtower-fleet.conf").write_text((ROOT / "ancillary/proxy/watchtower-fleet.conf").read_text())
        try:
            tested = in_forky("nginx", "-t")
        finally:
            (FORKY / "etc/nginx/conf.d/watchtower-fleet.conf").unlink()
        self.assertEqual(tested.returncode, 0, tested.stdout)

    def test_the_plain_fleet_proxy_is_the_modules(self):
        plain, module = (ROOT / "ancillary/proxy/watchtower-fleet.conf").read_text(), text("fleet", "nix/store/nginx.conf")
        words = lambda text: sorted(line.split("/")[0].strip() for line in text.splitlines() if re.match(r" *(proxy_|ssl_|location|allow|deny|server)", line))
        missing = [line for line in words(module) if line.startswith(("proxy_", "location", "allow")) and line not in words(plain)]
        self.assertEqual(missing, [])
        self.assertNotIn("/nix/store", plain)

    def certificates(self):
        """Any key that nginx accepts will do; the real ones are in the gateway's tests."""
        folder = FORKY / "run/credentials/nginx.service"
        folder.mkdir(parents=True)
        (FORKY / "run/nginx").mkdir(exist_ok=True)
        key, cert, crl = folder / "key", folder / "cert", folder / "crl"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=t", "-keyout", key, "-out", cert)
        (folder / "db").write_text("")
        (folder / "cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/db\ndefault_md=sha256\ndefault_crl_days=3\n")
        run("openssl", "ca", "-config", folder / "cnf", "-gencrl", "-keyfile", key, "-cert", cert, "-out", crl)
        for name in set(re.findall(r"/run/credentials/nginx.service/([\w.-]+)", (FORKY / "nix/store/nginx.conf").read_text())):
            (folder / name).write_text((key if name.endswith(".key") else crl if "crl" in name else cert).read_text())


@needs_forky
class Firewall(unittest.TestCase):
    def rules(self, host):
        """The rule set as the kernel has it after loading."""
        install(host)
        loaded = in_forky("sh", "-c", "mkdir -p /var/lib/nftables && : >/var/lib/nftables/deletions.nft && nft -c -f /etc/nftables.nft && nft -f /etc/nftables.nft && nft -j list ruleset")
        self.assertEqual(loaded.returncode, 0, f"{host}: {loaded.stdout}")
        return json.loads(loaded.stdout)["nftables"]

    def test_it_loads_and_lets_in_ssh_and_https_only(self):
        for host in HOSTS:
            entries = self.rules(host)
            chains = {entry["chain"]["name"]: entry["chain"] for entry in entries if "chain" in entry}
            self.assertEqual(chains["input"]["policy"], "drop")
            ports = set()
            for entry in entries:
                for part in entry.get("rule", {}).get("expr", []):
                    match = part.get("match", {})
                    field = match.get("left", {})
                    if isinstance(field, dict) and field.get("payload", {}).get("field") == "dport" and entry["rule"]["chain"] == "input-allow":
                        right = match["right"]
                        members = right["set"] if isinstance(right, dict) and "set" in right else [right]
                        ports |= {(field["payload"]["protocol"], port) for port in members if isinstance(port, int)}
            # 546: the network's own answers to DHCPv6, from the same link.
            self.assertEqual(ports, {("tcp", 22), ("tcp", 443), ("udp", 546)}, host)
            self.assertNotIn("echo-request", json.dumps(entries) if host != "fleet" else "")


@needs_forky
class Tmpfiles(unittest.TestCase):
    def test_the_recordings_folder_is_the_daemons_alone(self):
        install("usb")
        self.assertIn("\nReadWritePaths=/srv/watchtower\n", text("usb", "etc/systemd/system/watchtower.service"))
        made = in_forky("sh", "-euc", "rm -rf /srv/watchtower; systemd-sysusers --inline 'u watchtower -' >&2;"
                        "systemd-tmpfiles --create /etc/tmpfiles.d/10-watchtower.conf; stat -c '%U %G %a' /srv/watchtower")
        self.assertEqual(made.returncode, 0, made.stdout)
        self.assertEqual(made.stdout.splitlines()[-1], "watchtower watchtower 750")


@needs_forky
class Udev(unittest.TestCase):
    def test_udev_accepts_the_rules(self):
        for host in CAMERAS:
            install(host)
            verified = in_forky("udevadm", "verify", "--no-style", "--resolve-names=never", "/etc/udev/rules.d/99-local.rules")
            self.assertEqual(verified.returncode, 0, f"{host}: {verified.stdout}")
