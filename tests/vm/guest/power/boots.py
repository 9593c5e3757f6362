"""One boot of a machine whose power is cut: tells how it came up and what is left of the recordings, then the time until there is none.

Lines for ../power-cut on the console: `REPORT` with JSON once, `TICK` with the wall time ten times a second. In the boot with the file `late` the
recordings' disk is not to be seen until systemd has given up another one. The one with the file `last` sends what waits, tells what there is, and
ends in order.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, HERE)

import appliance
import install
import recording_index
from guest import read, run, until, write

CAMERA, CONFIG = "front", "/nix/store/watchtower.toml"
RECORDINGS = "/var/lib/watchtower"
EXPLAINED = {
    # The test machine's chip comes while the services start; a board's is there before. That the fan runs in the end, `is_up` wants to see.
    "Failed to start watchtower-fan.service - Watchtower: the fan.",
    # `appear_late` waits for it.
    r"Timed out waiting for device dev-disk-by\x2dlabel-never.device - /dev/disk/by-label/never.",
}


def first():
    """The disk is a fresh one."""
    os.makedirs("/var/lib/watchtower-secrets", mode=0o700)
    shutil.copy(f"{HERE}/uploads.pem", "/var/lib/watchtower-secrets/uploads.pem")
    for name in "s3.id", "s3.secret":
        write(f"/var/lib/watchtower-secrets/{name}", "a-key\n")
    install.main(f"{HERE}/golden/full/etc/systemd/system/watchtower.service", f"{HERE}/power/watchtower.toml")
    write("/usr/local/lib/test-hardware/parts", "network fan microcontroller raw_cameras\n")
    write(CONFIG, read(f"{HERE}/power/watchtower.toml").replace("PORT", read(f"{HERE}/port")))
    os.sync()  # before anybody cuts the power
    subprocess.run(["systemctl", "start", "test-hardware.service"], check=True)
    subprocess.run(["systemctl", "start", *install.UNITS], check=True)


def is_up():
    services = [unit for unit in appliance.SERVICES]
    active = run("systemctl", "is-active", *services).stdout.split()
    return active == ["active"] * len(services) and appliance.answers() and appliance.delivers(CAMERA)


def left(until_wall):
    """Every recording that begins before then, as its index says. One whose index is not yet begun, or not yet mended, has no reason."""
    found = []
    for id in recording_index.ids(CAMERA):
        try:
            index = recording_index.read(CAMERA, id)
            video = os.path.getsize(f"{recording_index.folder(CAMERA, id)}/video.h264")
        except (OSError, AssertionError):
            found.append({"id": id, "reason": None})
            continue
        if not index.walls or index.walls[0] < until_wall:
            found.append({"id": id, "event": index.event, "part": index.part, "reason": index.reason, "pictures": len(index.walls),
                          "begin": index.walls[0] if index.walls else None, "end": index.walls[-1] if index.walls else None, "whole": video == index.bytes})
    return found


def mended(until_wall):
    """Whether all of it is closed."""
    all_left = left(until_wall)
    return all(r["reason"] is not None for r in all_left)


def uploads():
    destination, = appliance.health()["uploads"]["destinations"]
    return destination


def mount_options(fstab):
    """Of the recordings' disk; what makes its partition on the appliance is not there."""
    line = next(line for line in read(fstab).splitlines() if f" {RECORDINGS} " in line)
    return {option for option in line.split()[3].split(",") if not option.startswith("x-systemd.requires=")}


def appear_late():
    """The disk gets its name back after more than systemd's 90 s, which a disk that never comes has to wait for."""
    assert mount_options("/etc/fstab") == mount_options(f"{HERE}/golden/full/etc/fstab")
    other = run("systemctl", "start", r"dev-disk-by\x2dlabel-never.device", timeout=300)
    assert other.returncode != 0 and float(read("/proc/uptime").split()[0]) > 90, other
    assert not os.path.ismount(RECORDINGS), "the recordings' disk was there before"
    waiting = {line.split()[1] for line in run("systemctl", "list-jobs", "--plain", "--no-legend").stdout.splitlines()}
    subprocess.run(["e2label", "/dev/vdd", "watchtower"], check=True)
    return "watchtower.service" in waiting


def main():
    late = os.path.exists(f"{HERE}/late") and {"waited": appear_late(), "since_s": float(read("/proc/uptime").split()[0])}
    booted = time.time() - float(read("/proc/uptime").split()[0])
    fresh = not os.path.exists("/usr/bin/watchtower")
    if fresh:
        first()
    try:
        until(is_up, "appliance", 600)
    except AssertionError:
        print(run("systemctl", "list-jobs").stdout, run("systemctl", "status", "--no-pager", *appliance.SERVICES).stdout, appliance.health(), flush=True)
        raise
    up_s = float(read("/proc/uptime").split()[0])
    until(lambda: mended(booted), "end of what was cut off")
    mount = next(line for line in read("/proc/mounts").splitlines() if f" {RECORDINGS} " in line)
    units = [line.split()[0] for line in run("systemctl", "--failed", "--plain", "--no-legend").stdout.splitlines()]
    report = {"fresh": fresh, "late": late, "up_s": up_s, "left": [r for r in left(booted) if r["reason"] is not None], "mounted": mount.split()[3].split(",")[0], "failed": units,
              "errors": sorted(set(run("journalctl", "-b", "-p", "err", "-o", "cat", "--no-pager").stdout.splitlines()) - EXPLAINED)}
    if os.path.exists(f"{HERE}/last"):
        write(CONFIG, read(CONFIG).replace("record_always = true", "record_always = false") + "\n")
        subprocess.run(["systemctl", "restart", "watchtower.service"], check=True)
        until(is_up, "appliance")
        until(lambda: mended(time.time()), "end of the recordings")
        until(lambda: uploads()["waiting_files"] == 0, "end of what waits", 300)
        report["all"] = left(time.time())
        report["uploads"] = {r["id"]: r["upload"] for r in appliance.recordings(CAMERA)}
        report["health"] = appliance.health()["uploads"]
        subprocess.run(["systemctl", "stop", "watchtower.service"], check=True)
    print("REPORT", json.dumps(report), flush=True)
    while not os.path.exists(f"{HERE}/last"):
        print(f"TICK {time.time():.2f}", flush=True)
        time.sleep(0.1)


assert re.fullmatch(r"\d+", read(f"{HERE}/port"))
main()
