"""The gateway from outside: who is let in, and which ports answer, from a network of its own to the machine's."""

import http.client
import json
import socket
import ssl
import time
import unittest

import install
from appliance import HOST, ApplianceTest, Owner, get, tls
from guest import HERE, OUT, run

HERE_V4, THERE_V4, HERE_V6, THERE_V6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
# What somebody might leave running: nothing but 22 may be reached from outside.
DECOYS = [22, 21, 53, 80, 111, 631, 1883, 5000, 5353, 8080, 8443, 9090, 49152, 65535]


class Certificates(ApplianceTest):
    def status(self, context, path="/api/cameras", method="GET"):
        client = Owner(context)
        try:
            return client.request(method, path)[0]
        finally:
            client.close()

    def test_who_is_let_in(self):
        self.assertEqual(self.status(tls()), 200)
        self.assertEqual(self.status(tls("guest")), 200)
        self.assertEqual(self.status(tls(None)), 400)
        self.assertEqual(self.status(tls("owner", f"{HERE}/strangers-pki")), 400)
        self.assertEqual(self.status(tls(pair=(f"{HERE}/lost-phone.pem", f"{HERE}/lost-phone.key"))), 400)

    def test_a_viewer_looks_and_does_not_touch(self):
        self.assertEqual(self.status(tls("guest"), "/api/record", "POST"), 403)
        self.assertEqual(self.status(tls("guest"), "/api/snapshot.jpg"), 200)
        identity = get("/api/identity")
        self.assertEqual((identity["name"], identity["role"]), ("owner", "admin"))

    def test_old_tls_and_other_names_are_refused(self):
        old = tls()
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        other = tls()
        other.check_hostname = False
        for context, name, why in (old, HOST, "PROTOCOL_VERSION"), (other, "other.example.org", "UNRECOGNIZED_NAME"):
            with self.assertRaisesRegex(ssl.SSLError, why), socket.create_connection((HOST, 443), timeout=30) as plain:
                context.wrap_socket(plain, server_hostname=name).close()

    def test_other_paths_are_not_passed_on(self):
        """nginx answers itself; the daemon's own errors are JSON."""
        for path in "/etc/passwd", "/api/", "/api/recordings/a/b/c":
            status, body = Owner(tls()).request("GET", path)
            self.assertEqual(status, 404, path)
            self.assertIn(b"<html", body, path)
        # To nginx it is one that is; the daemon takes it as it stands.
        self.assertEqual(self.status(tls(), "/cameras/../api/status"), 404)

    def test_the_web_app_and_a_stream_come_through(self):
        client = Owner(tls())
        status, page = client.request("GET", "/")
        self.assertEqual((status, b"<html" in page.lower()), (200, True))
        connection = http.client.HTTPSConnection(HOST, timeout=60, context=tls())
        self.addCleanup(connection.close)
        connection.request("GET", "/mjpeg")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.read(7), b"--FRAME")
        got = answer.read(20000)
        self.assertIn(b"Content-Type: image/jpeg", got)


class Ports(ApplianceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for command in [
            "ip netns add outside", "ip link add here type veth peer name there netns outside",
            f"ip address add {HERE_V4}/24 dev here", f"ip address add {HERE_V6}/64 dev here nodad", "ip link set here up",
            f"ip -n outside address add {THERE_V4}/24 dev there", f"ip -n outside address add {THERE_V6}/64 dev there nodad",
            "ip -n outside link set lo up", "ip -n outside link set there up",
        ]:
            run(*command.split(), check=True)
        cls.listeners = []
        for port in DECOYS:
            for address, family in ("0.0.0.0", socket.AF_INET), ("::", socket.AF_INET6):
                listener = socket.socket(family)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
                listener.listen(16)
                cls.listeners.append(listener)
        # The link has to be up before silence means anything.
        end = time.monotonic() + 30
        while run("ip", "netns", "exec", "outside", "python3", f"{HERE}/scan.py", HERE_V6, "443").stdout.strip() != '{"443": "open"}':
            assert time.monotonic() < end, "the gateway does not answer from outside"

    @classmethod
    def tearDownClass(cls):
        for listener in cls.listeners:
            listener.close()
        run("ip", "netns", "del", "outside")

    def scan(self, address, *ports):
        done = run("ip", "netns", "exec", "outside", "python3", f"{HERE}/scan.py", address, *map(str, ports), timeout=600)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_only_22_and_443_answer_of_all_ports(self):
        began = time.monotonic()
        for address in HERE_V4, HERE_V6:
            self.assertEqual(self.scan(address), {"22": "open", "443": "open"}, address)
        with open(f"{OUT}/counted.jsonl", "a") as file:
            entry = {"what": "TCP ports asked from outside, IPv4 and IPv6: 22 and 443 answer, no other", "times": 2 * 65535, "failures": 0, "worst_s": None, "limit_s": None}
            file.write(json.dumps(entry) + "\n")
        print(f"all ports: {time.monotonic() - began:.0f} s", flush=True)

    def test_the_scan_sees_what_is_open(self):
        """Without the firewall every decoy answers, and a port that nobody has is refused."""
        run("systemctl", "stop", "nftables.service", check=True)
        try:
            seen = self.scan(HERE_V4, *DECOYS, 443, 444)
        finally:
            run("systemctl", "start", "nftables.service", check=True)
        self.assertEqual(seen, {str(port): "open" for port in [*DECOYS, 443]} | {"444": "refused"})
        self.assertEqual(self.scan(HERE_V4, *DECOYS, 443, 444), {"22": "open", "443": "open"})

    def test_udp_is_silent(self):
        """Neither an answer nor a refusal."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind((HERE_V4, 5353))
        listener.settimeout(2)
        program = f"import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('{HERE_V4}', 5353)); s.send(b'x'); s.settimeout(2); s.recv(9)"
        asked = run("ip", "netns", "exec", "outside", "python3", "-c", program)
        self.assertIn("TimeoutError", asked.stderr)
        with self.assertRaises(TimeoutError):
            listener.recv(9)

    def test_the_gateway_works_from_outside(self):
        ask = ["ip", "netns", "exec", "outside", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", f"{install.PKI}/ca.pem", "--resolve", f"{HOST}:443:{HERE_V4}"]
        mine = ["--cert", f"{install.PKI}/owner.pem", "--key", f"{install.PKI}/owner.key"]
        self.assertEqual(run(*ask, *mine, f"https://{HOST}/api/cameras").stdout, "200")
        self.assertEqual(run(*ask, f"https://{HOST}/api/cameras").stdout, "400")


if __name__ == "__main__":
    unittest.main()
