"""Asks TCP ports of an address, all of them unless some are named, and prints as JSON those that answer: open, or refused.

  scan.py ADDRESS [PORT...]      as root: it writes the packets itself, since a socket for each takes minutes without hardware virtualisation
"""

import json
import select
import socket
import struct
import sys
import time

FROM = 40000
SYN, RST, ACK = 0x02, 0x04, 0x10
PASSES, BURST, WAIT_S = 2, 100, 3  # a burst that is too long for a queue would be silence


def segment(port, base):
    """A SYN; `base` is the sum of all in it, and in the pseudo-header, but port and checksum. None: the kernel makes the checksum."""
    check = 0
    if base is not None:
        total = base + port
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        check = ~total & 0xFFFF
    return struct.pack("!HHIIBBHHH", FROM, port, 1, 0, 5 << 4, SYN, 1024, check, 0)


def pseudo_header(source, target):
    words = struct.unpack("!8H", socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!HH", socket.IPPROTO_TCP, 20) + b"\0\0\0\0")
    return sum(words) + FROM + 1 + (5 << 12 | SYN) + 1024


def take(raw, seen):
    """What has arrived."""
    while select.select([raw], [], [], 0)[0]:
        packet = raw.recv(256)
        if raw.family == socket.AF_INET:
            packet = packet[(packet[0] & 15) * 4 :]
        if len(packet) < 14:
            continue
        port, to, _, _, _, flags = struct.unpack_from("!HHIIBB", packet)
        if to == FROM and flags & (SYN | RST):
            seen[str(port)] = "open" if flags & (SYN | ACK) == SYN | ACK else "refused"


def main(address, *wanted):
    v6 = ":" in address
    raw = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    raw.connect((address, 0))
    base = None
    if v6:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 16)
    else:
        base = pseudo_header(raw.getsockname()[0], address)
    seen = {}
    ports = [int(port) for port in wanted] or range(1, 65536)
    for _ in range(PASSES):
        for number, port in enumerate(ports):
            raw.send(segment(port, base))
            if number % BURST == 0:
                take(raw, seen)
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            take(raw, seen)
            time.sleep(0.05)
    print(json.dumps({port: seen[port] for port in sorted(seen, key=int)}))


main(*sys.argv[1:])
