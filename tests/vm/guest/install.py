"""Makes this machine the appliance of the host `vm`: its golden files as they are, its users and groups, certificates, programs.

What concerns NixOS itself is left out: how it mounts, which kernel modules it loads, where systemd finds its programs.
`install.py UNIT CONFIG` takes the daemon's unit from another host's golden files, and another configuration.
"""

import json
import os
import shutil
import subprocess
import sys

import stand_in

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = f"{HERE}/golden"
PKI = f"{HERE}/pki"
TLS = "/var/lib/watchtower-tls"
UNITS = ["nftables.service", "nginx.service", "watchtower.socket", "watchtower.service", "watchtower-serial.service", "watchtower-fan.service"]


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def users():
    meta = json.load(open(f"{GOLDEN}/vm/meta.json"))
    for group in meta["groups"]:
        run("groupadd", "--force", "--system", group)
    for user, group in meta["users"].items():
        run("useradd", "--system", "--gid", group, "--home-dir", "/var/empty", "--no-create-home", "--shell", "/usr/sbin/nologin", user)


def certificates():
    """Of the owner's, only what belongs on a camera."""
    os.makedirs(TLS, mode=0o700)
    for name, to in ("vm.pem", "server.pem"), ("vm.key", "server.key"), ("ca.pem", "clients-ca.pem"), ("crl.pem", "clients-crl.pem"):
        shutil.copy(f"{PKI}/{name}", f"{TLS}/{to}")


def main(unit=None, config=None):
    shutil.copy(f"{HERE}/watchtower", "/usr/bin/watchtower")
    shutil.copytree(f"{HERE}/hardware", "/usr/local/lib/test-hardware", dirs_exist_ok=True)
    shutil.copy(f"{HERE}/hardware/test-hardware.service", "/etc/systemd/system/")
    users()
    lacking = stand_in.install("vm", "/", ("meta.json", "fstab", "modules-load.d", "system.conf", "timesyncd.conf"), GOLDEN)
    assert not lacking, f"the image has no program for {lacking}"
    if unit:
        shutil.copy(unit, "/etc/systemd/system/watchtower.service")
        shutil.copy(config, "/nix/store/watchtower.toml")
    # Where Debian's nginx was built to keep what it buffers; NixOS's has it in its cache.
    shutil.rmtree("/var/lib/nginx", ignore_errors=True)
    os.symlink("/var/cache/nginx", "/var/lib/nginx")
    with open("/etc/hosts", "a") as hosts:
        hosts.write("127.0.0.1 localhost vm.example.org\n::1 localhost vm.example.org\n")
    certificates()
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", "systemd-journald")
    run("udevadm", "control", "--reload")
    run("udevadm", "trigger", "--settle", "--subsystem-match=video4linux", "--subsystem-match=gpio", "--subsystem-match=tty")
    run("systemctl", "--quiet", "enable", "test-hardware.service", *UNITS)
    os.sync()  # what is installed is on the disk before anybody cuts the power


if __name__ == "__main__":
    main(*sys.argv[1:])
