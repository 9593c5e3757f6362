"""Run in a service's place, as its user in its sandbox: tries what it must not do, and tells what came of each, as JSON.

  inside.py DEVICE...      one that can be opened gives "opened"; an error gives its name, such as EPERM
"""

import errno
import glob
import json
import os
import socket
import sys


def attempt(what):
    try:
        return what() or "done"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def open_device(path):
    os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY))
    return "opened"


def put(folder):
    path = f"{folder}/written-by-a-test"
    with open(path, "w"):
        pass
    os.remove(path)
    return "written"


def connect(address):
    with socket.create_connection(address, timeout=5):
        return "connected"


def make(family, kind):
    socket.socket(family, kind).close()
    return "made"


FOLDERS = ["/", "/etc", "/usr/bin", "/nix/store", "/root", "/home", "/boot", "/dev", "/dev/shm", "/dev/mqueue", "/run", "/run/watchtower", "/run/watchtower-fan", "/run/watchtower-serial", "/run/inside-watchtower-fan", "/run/inside-watchtower-serial", "/run/systemd",
           "/sys/kernel", "/proc/sys/kernel", "/tmp", "/var", "/var/tmp", "/var/lib", "/var/lib/watchtower", "/var/lib/watchtower-tls", "/var/cache/nginx", "/var/log"]
print(json.dumps({
    "user": os.getuid(),
    "groups": sorted(os.getgroups()),
    "devices": {path: attempt(lambda: open_device(path)) for path in sys.argv[1:]},
    "folders": {folder: attempt(lambda: put(folder)) for folder in FOLDERS if os.path.isdir(folder)},
    "tmp": os.listdir("/tmp"),
    "shm": os.listdir("/dev/shm"),
    "sockets": {name: attempt(lambda: make(family, kind)) for name, family, kind in [
        ("unix", socket.AF_UNIX, socket.SOCK_STREAM), ("inet", socket.AF_INET, socket.SOCK_STREAM), ("inet6", socket.AF_INET6, socket.SOCK_DGRAM),
        ("netlink", socket.AF_NETLINK, socket.SOCK_RAW), ("packet", socket.AF_PACKET, socket.SOCK_RAW), ("vsock", socket.AF_VSOCK, socket.SOCK_STREAM)]},
    "interfaces": sorted(os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else [],
    "processes": sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit()),
    "own": os.getpid(),
    "keys": attempt(lambda: open("/var/lib/watchtower-tls/server.key").read() and "read"),
    "journal": attempt(lambda: [open(path, "rb").close() for path in glob.glob("/var/log/journal/*/*")] and "read"),
    "reboot": attempt(lambda: open("/proc/sysrq-trigger", "w").close()),
}), flush=True)
