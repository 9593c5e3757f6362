"""Asks TCP ports of an address, all of them unless some are named, and prints as JSON those that answer: open, or refused.

  scan.py ADDRESS [PORT...]
"""

import errno
import json
import resource
import select
import socket
import sys
import time

AT_A_TIME, WAIT_S = 4000, 2


def ask(address, ports):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    asked, seen = {}, {}
    poll = select.epoll()
    for port in ports:
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setblocking(False)
        result = one.connect_ex((address, port))
        assert result == errno.EINPROGRESS, f"port {port}: {errno.errorcode.get(result)}"
        poll.register(one, select.EPOLLOUT)
        asked[one.fileno()] = port, one
    end = time.monotonic() + WAIT_S
    while (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left):
            port, one = asked[number]
            result = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if result != errno.ETIMEDOUT:
                seen[str(port)] = {0: "open", errno.ECONNREFUSED: "refused"}.get(result, errno.errorcode.get(result))
            poll.unregister(one)
    for _, one in asked.values():
        one.close()
    return seen


resource.setrlimit(resource.RLIMIT_NOFILE, (AT_A_TIME + 100, AT_A_TIME + 100))
address, *wanted = sys.argv[1:]
ports = [int(port) for port in wanted] or range(1, 65536)
answered = {}
for first in range(0, len(ports), AT_A_TIME):
    answered |= ask(address, ports[first : first + AT_A_TIME])
print(json.dumps(answered))
