"""What the tests of the rendered texts share: where things are, the programs of the appliance's year, a place to run them in."""

import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
GOLDEN = HERE / "golden"
HOSTS = ["usb", "full", "fleet", "vm"]
CAMERAS = ["usb", "full", "vm"]
WORK = Path(os.environ["NIX_TESTS"])
FORKY = WORK / "forky"

needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root")
needs_forky = unittest.skipUnless((FORKY / ".complete").exists(), "needs root and mmdebstrap (tests/chroot)")


def run(*command, **options):
    """The command's output and errors together; the exit code is the caller's business."""
    return subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, timeout=300, **options)


def in_forky(*command):
    """Runs a program of the chroot, with networks and processes of its own."""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    return run("unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", enter, FORKY, *command,
               env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_URLIFY": "0"})


def install(host):
    """Puts a host's golden files into the chroot, with a stand-in for every program that its texts name."""
    for folder in ("nix/store", "etc/systemd/system", "run/credentials", "golden"):
        shutil.rmtree(FORKY / folder, ignore_errors=True)
    shutil.copytree(GOLDEN / host, FORKY, dirs_exist_ok=True, ignore=shutil.ignore_patterns("meta.json", "fstab"))
    texts = "".join(path.read_text() for path in (GOLDEN / host).rglob("*") if path.is_file())
    for path in set(re.findall(r"/nix/store/[\w.+-]+/s?bin/[\w.+-]+", texts)):
        stand_in = FORKY / path.lstrip("/")
        if not stand_in.exists():
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            real = next((f"/usr/{d}/{stand_in.name}" for d in ("bin", "sbin") if (FORKY / "usr" / d / stand_in.name).exists()), "/bin/true")
            stand_in.symlink_to(real)
    (FORKY / "nix/store/mailcap/etc/nginx").mkdir(parents=True, exist_ok=True)
    (FORKY / "nix/store/nginx/conf").mkdir(parents=True, exist_ok=True)
    shutil.copy(FORKY / "etc/nginx/mime.types", FORKY / "nix/store/mailcap/etc/nginx")
    for name in ("fastcgi.conf", "uwsgi_params"):
        shutil.copy(FORKY / "etc/nginx" / name, FORKY / "nix/store/nginx/conf")
