"""What the tests of the rendered texts share: where things are, the programs of the appliance's year, a place to run them in."""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

import stand_in

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
    stand_in.install(host, FORKY)
