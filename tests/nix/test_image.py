"""The image's scripts on real disks, certificates and sockets: recordings' partition, first boot, self-test."""

import os
import socketserver
import subprocess
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from support import ROOT, needs_root, run

IMAGE = ROOT / "nixos/image"
MIB = 1024 * 1024


def has_loop_devices():
    return os.path.exists("/dev/loop-control") and run("losetup", "--find").returncode == 0


@needs_root
@unittest.skipUnless(has_loop_devices(), "needs loop devices")
class GrowRecordings(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.card = Path(self.folder.name) / "card"
        self.disk = None

    def tearDown(self):
        self.take_out()

    def flash(self, mib=300):
        """A card of this size with firmware and system, as the image has them."""
        self.take_out()
        with open(self.card, "ab") as card:
            card.truncate(mib * MIB)
        table = "label: dos\nstart=8M, size=30M, type=b\nstart=38M, size=60M, type=83, bootable\n"
        subprocess.run(["sfdisk", "--quiet", "--wipe=never", self.card], input=table, text=True, check=True)
        self.put_in()

    def put_in(self):
        self.disk = run("losetup", "--find", "--partscan", "--show", self.card).stdout.strip()

    def take_out(self):
        if self.disk:
            run("losetup", "--detach", self.disk)
            self.disk = None

    def grow(self):
        return run("bash", IMAGE / "grow-recordings.sh", self.disk, "watchtower")

    def assertGrown(self):
        grown = self.grow()
        self.assertEqual(grown.returncode, 0, grown.stdout)
        return grown.stdout

    def size_mib(self):
        lines = run("dumpe2fs", "-h", f"{self.disk}p3").stdout.splitlines()
        values = {key: value for key, _, value in (line.partition(":") for line in lines)}
        return int(values["Block count"]) * int(values["Block size"]) // MIB

    def mounted(self, write=None):
        """Writes a recording, or reads the one that is there."""
        at = Path(self.folder.name) / "mounted"
        at.mkdir(exist_ok=True)
        subprocess.run(["mount", f"{self.disk}p3", at], check=True)
        try:
            if write:
                (at / "video").write_text(write)
            return (at / "video").read_text()
        finally:
            subprocess.run(["umount", at], check=True)

    def test_it_is_made_at_first_and_kept_after(self):
        self.flash()
        self.assertIn("is made", self.assertGrown())
        self.assertGreater(self.size_mib(), 190)
        self.mounted(write="a recording")
        self.assertNotIn("made", self.assertGrown())
        self.assertEqual(self.mounted(), "a recording")

    def test_it_grows_on_a_larger_card(self):
        self.flash()
        self.assertGrown()
        self.mounted(write="a recording")
        before = self.size_mib()
        self.take_out()
        os.truncate(self.card, 600 * MIB)
        self.put_in()
        self.assertIn("grows", self.assertGrown())
        self.assertGreater(self.size_mib(), before + 250)
        self.assertEqual(self.mounted(), "a recording")

    def test_recordings_survive_that_the_card_is_flashed_again(self):
        self.flash()
        self.assertGrown()
        self.mounted(write="a recording")
        self.flash()
        self.assertFalse(os.path.exists(f"{self.disk}p3"))
        self.assertIn("is made", self.assertGrown())
        self.assertEqual(self.mounted(), "a recording")

    def test_a_power_cut_before_the_file_system_was_made_is_made_good(self):
        self.flash()
        subprocess.run(["sfdisk", "--quiet", "--no-reread", "--force", "--append", self.disk], input="98M, +, 83\n", text=True, check=True)
        self.assertIn("is ready", self.assertGrown())
        self.mounted(write="a recording")

    def test_a_power_cut_while_growing_is_made_good(self):
        self.flash()
        self.assertGrown()
        self.mounted(write="a recording")
        self.take_out()
        os.truncate(self.card, 600 * MIB)
        self.put_in()
        subprocess.run(["sfdisk", "--quiet", "--no-reread", "--force", "-N", "3", self.disk], input=", +\n", text=True, check=True)
        run("partx", "--update", "--nr", "3", self.disk)
        self.assertGrown()
        self.assertGreater(self.size_mib(), 450)
        self.assertEqual(self.mounted(), "a recording")

    def test_what_somebody_else_put_there_is_left_alone(self):
        self.flash()
        self.assertGrown()
        run("mkfs.ext4", "-q", "-F", "-L", "photos", f"{self.disk}p3")
        self.mounted(write="somebody's")
        grown = self.grow()
        self.assertNotEqual(grown.returncode, 0)
        self.assertIn("not Watchtower's", grown.stdout)
        self.assertEqual(self.mounted(), "somebody's")

    def test_a_card_that_is_too_small_is_refused(self):
        self.flash(mib=120)
        grown = self.grow()
        self.assertNotEqual(grown.returncode, 0)
        self.assertIn("a card of at least", grown.stdout)


class FirstBoot(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.boot, self.root = Path(folder.name) / "boot", Path(folder.name) / "root"
        self.boot.mkdir()

    def take(self, text=None, files={}, needed=(), host_name=""):
        if text is not None:
            (self.boot / "watchtower-setup.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        for name, content in files.items():
            (self.boot / "watchtower-setup").mkdir(exist_ok=True)
            (self.boot / "watchtower-setup" / name).write_text(content)
        taken = run("bash", IMAGE / "first-boot.sh", self.boot, self.root, *needed, env={**os.environ, "HOST_NAME": host_name})
        self.assertEqual(taken.returncode, 0, taken.stdout)
        log = (self.boot / "watchtower-setup.log").read_text()
        self.assertEqual(sorted(p.name for p in self.boot.iterdir()), ["watchtower-setup.log"], "what is secret is erased")
        return log

    def state(self, name):
        return (self.root / "var/lib" / name).read_text()

    def key(self):
        path = self.root.parent / "id"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f", path)
        return path.with_suffix(".pub").read_text().strip()

    def test_everything_is_taken_over(self):
        key = self.key()
        log = self.take(f"# mine\nhost_name = front\nssh_key = {key}\n\nwifi_ssid = Home 2\nwifi_passphrase = correct horse\\ = #\nwifi_country = DE\n")
        self.assertEqual(self.state("watchtower-setup/host-name"), "front\n")
        self.assertEqual(self.state("watchtower-setup/authorized_keys"), key + "\n")
        self.assertEqual(self.state("watchtower-setup/wifi-country"), "DE\n")
        self.assertEqual(self.state("iwd/Home 2.psk"), "[Security]\nPassphrase=correct horse\\\\ = #\n")
        self.assertEqual((self.root / "var/lib/iwd/Home 2.psk").stat().st_mode & 0o777, 0o600)
        self.assertNotIn("correct horse", log)

    def test_a_name_that_the_configuration_sets_stays_and_the_log_says_so(self):
        log = self.take("host_name = front\n", host_name="yard")
        self.assertEqual(log, "host name: stays yard, which networking.hostName sets; front is left out\n")
        self.assertFalse((self.root / "var/lib/watchtower-setup/host-name").exists())

    def test_what_the_gateway_still_lacks_is_said(self):
        needed = [f"/var/lib/watchtower-tls/{name}" for name in ("clients-ca.pem", "clients-crl.pem")]
        log = self.take(files={"clients-ca.pem": self.certificates("ca")[0]}, needed=needed)
        self.assertNotIn(f"{needed[0]} is missing", log)
        self.assertIn(f"{needed[1]} is missing; the gateway does not start without it", log)

    def test_a_file_of_windows_is_read(self):
        self.take(b"\xef\xbb\xbfhost_name = front\r\nwifi_ssid = Caf\xc3\xa9\r\nwifi_passphrase = 12345678\r\n")
        self.assertEqual(self.state("watchtower-setup/host-name"), "front\n")
        self.assertEqual(self.state("iwd/=436166c3a9.psk"), "[Security]\nPassphrase=12345678\n")

    def test_each_fault_is_said_and_the_rest_is_taken_over(self):
        log = self.take("host_name = -front\nssh_key = nonsense\nwifi_ssid = Home\nwifi_passphrase = short\ncolour = red\nwords\nwifi_country = de\nhost_name = yard\n")
        for line in (1, 2, 4, 5, 6, 7):
            self.assertIn(f"line {line}: ", log)
        self.assertNotIn("short", log.replace("for want", ""))
        self.assertEqual(self.state("watchtower-setup/host-name"), "yard\n")
        self.assertFalse((self.root / "var/lib/iwd").exists(), "an open network of that name is not what was meant")

    def test_rubbish_does_no_harm(self):
        self.take(os.urandom(4096))
        self.take("")
        self.take()

    def certificates(self, name):
        folder = self.root.parent / name
        folder.mkdir()
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-addext",
            "basicConstraints=critical,CA:TRUE", "-keyout", folder / "key", "-out", folder / "pem")
        return (folder / "pem").read_text(), (folder / "key").read_text()

    def test_certificates_are_taken_over_and_a_strangers_key_is_not(self):
        pem, key = self.certificates("front")
        ca, other = self.certificates("ca")
        self.take(files={"server.pem": pem, "server.key": key, "clients-ca.pem": ca})
        self.assertEqual((self.state("watchtower-tls/server.pem"), self.state("watchtower-tls/server.key")), (pem, key))
        self.assertEqual(self.state("watchtower-tls/clients-ca.pem"), ca)
        self.assertEqual((self.root / "var/lib/watchtower-tls/server.key").stat().st_mode & 0o777, 0o600)
        log = self.take(files={"server.pem": ca, "server.key": key, "clients-ca.pem": "nonsense", "clients-crl.pem": "nonsense"})
        self.assertIn("not a certificate and its key", log)
        self.assertIn("not the certificate of a CA", log)
        self.assertIn("not a revocation list", log)
        self.assertEqual((self.state("watchtower-tls/server.pem"), self.state("watchtower-tls/clients-ca.pem")), (pem, ca))
        self.assertNotEqual(other, key)


class Daemon(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers at a Unix socket what a daemon with these cameras would, to whoever says who asks."""

    daemon_threads = True
    cameras = {"front"}

    def handle_error(self, *_):
        pass  # a client that wanted no more than the status

    def __init__(self, path):
        class Handler(BaseHTTPRequestHandler):
            def address_string(self):
                return "socket"

            def log_message(self, *_):
                pass

            def do_GET(handler):
                name = handler.path.removeprefix("/cameras/").removesuffix("/api/snapshot.jpg")
                known = handler.headers["X-Client-Cert"].startswith("-----BEGIN%20CERTIFICATE-----%0A")
                handler.send_response(200 if known and name in self.cameras else 503)
                handler.end_headers()
                handler.wfile.write(b"\xff\xd8")

        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class SelfTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "bin").mkdir()
        self.link, self.good, self.profile = self.root / "current", self.root / "good", self.root / "profile"
        self.program("bin/nix-env", f'#!/bin/sh\n[ "$1 $3" = "--profile --set" ] && ln -sfn "$4" "$2"\n')
        self.daemon = Daemon(self.root / "sock")
        self.addCleanup(self.daemon.shutdown)

    def program(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def system(self, name):
        """A system that can be switched to; its switch is what NixOS's is to the link."""
        self.program(f"{name}/bin/switch-to-configuration", f'#!/bin/sh\nln -sfn "{self.root / name}" "{self.link}"\n')
        return self.root / name

    def switch(self, system):
        for link in (self.link, self.profile):
            link.unlink(missing_ok=True)
            link.symlink_to(system)

    def test(self, *cameras, gateway=0, patience_s=1):
        environment = {**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "PATIENCE_S": str(patience_s)}
        return run("bash", IMAGE / "self-test.sh", self.link, self.good, self.profile, self.root / "sock", gateway, *cameras, env=environment)

    def test_a_system_that_works_is_remembered(self):
        first = self.system("first")
        self.switch(first)
        tested = self.test("front")
        self.assertEqual(tested.returncode, 0, tested.stdout)
        self.assertEqual(self.good.resolve(), first)

    def test_one_that_does_not_is_taken_back(self):
        first, second = self.system("first"), self.system("second")
        self.switch(first)
        self.test("front")
        self.switch(second)
        self.daemon.cameras = set()
        tested = self.test("front")
        self.assertEqual(tested.returncode, 1)
        self.assertIn("camera front gives no picture", tested.stdout)
        self.assertEqual((self.link.resolve(), self.profile.resolve(), self.good.resolve()), (first, first, first))

    def test_a_system_that_passed_once_is_kept(self):
        first = self.system("first")
        self.switch(first)
        self.test("front")
        self.daemon.cameras = set()
        self.assertIn("this one stays", self.test("front").stdout)
        self.assertEqual(self.link.resolve(), first)

    def test_the_first_system_has_nowhere_to_go(self):
        first = self.system("first")
        self.switch(first)
        self.assertIn("this one stays", self.test("yard").stdout)
        self.assertFalse(self.good.exists())

    def test_a_camera_that_takes_a_while_is_waited_for(self):
        self.switch(self.system("first"))
        self.daemon.cameras = set()
        threading.Timer(3, lambda: self.daemon.cameras.add("front")).start()
        self.assertEqual(self.test("front", patience_s=120).returncode, 0)

    def test_the_gateway_has_to_answer(self):
        first, second = self.system("first"), self.system("second")
        self.switch(first)
        self.test("front")
        self.switch(second)
        self.assertIn("the gateway does not answer on port 1", self.test("front", gateway=1).stdout)
        self.assertEqual(self.link.resolve(), first)

    def test_a_gateway_that_asks_for_a_certificate_answers(self):
        self.switch(self.system("first"))
        key, certificate = self.root / "key", self.root / "pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=t", "-keyout", key, "-out", certificate)
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-Verify", "1", "-verify_return_error"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        port = next(line.rsplit(":", 1)[1].strip() for line in server.stdout if line.startswith("ACCEPT "))
        tested = self.test("front", gateway=port, patience_s=60)
        self.assertEqual(tested.returncode, 0, tested.stdout)
