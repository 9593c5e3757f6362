"""Reads a recording's index as ancillary/docs/recording-format.md describes it; nothing of the daemon's is used."""

import os
import struct
import zlib

ROOT = "/var/lib/watchtower/recordings"


class Index:
    def __init__(self, data):
        whole = data[:8] == b"WTINDEX\n" and len(data) >= 64 and zlib.crc32(data[:60]) == struct.unpack_from("<I", data, 60)[0]
        assert whole, "no header"
        self.event, = struct.unpack_from("<Q", data, 16)
        self.part, = struct.unpack_from("<I", data, 48)
        self.walls, self.bytes, self.reason = [], 0, None
        for at in range(64, len(data) - 31, 32):
            number, _, wall, kind, crc = struct.unpack_from("<QqqII", data, at)
            if zlib.crc32(data[at : at + 28]) != crc:
                break
            kind, value = kind >> 28, kind & 0xFFFFFFF
            if kind in (1, 2):
                assert number == self.bytes, f"access unit at {number} instead of {self.bytes}"
                self.walls.append(wall / 1e6)
                self.bytes += value
            elif kind == 5:
                self.reason = value


def folder(camera, id):
    return f"{ROOT}/{camera}/{id}"


def read(camera, id):
    with open(f"{folder(camera, id)}/index", "rb") as file:
        return Index(file.read())


def ids(camera):
    """All recordings of a camera that have an index, oldest first."""
    found = []
    for day in sorted(os.listdir(f"{ROOT}/{camera}")) if os.path.isdir(f"{ROOT}/{camera}") else []:
        for time in sorted(os.listdir(f"{ROOT}/{camera}/{day}")):
            if not time.startswith(".") and os.path.exists(f"{ROOT}/{camera}/{day}/{time}/index"):
                found.append(f"{day}/{time}")
    return found
