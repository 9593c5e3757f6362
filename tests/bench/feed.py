"""The network camera of a run: one process that sends every picture to all daemons in the same tick.

`multipart/x-mixed-replace` over HTTP, as IP cameras do. A daemon reads `/NAME`; what was sent on each of its connections is
counted, so that what it recorded can be compared.
"""

import multiprocessing as mp
import os
import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue

from clip import Clip

# A daemon that takes nothing for this long is dropped.
PATIENCE_S = 5
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\nConnection: close\r\n\r\n"


class Feed:
    """Runs from `with` on; sends nothing before anyone is connected and nothing while paused."""

    def __init__(self, clip: Clip, fps: float):
        spawn = mp.get_context("spawn")
        self._tick, self._late_ms = spawn.Value("q", 0), spawn.Value("q", 0)
        self._paused, self._ended = spawn.Event(), spawn.Event()
        self._sent = spawn.Manager().dict()
        self._port = spawn.Value("i", 0)
        shared = (self._tick, self._late_ms, self._paused, self._ended, self._sent, self._port)
        self._process = spawn.Process(target=_serve, args=(clip, fps, *shared), daemon=True)

    def __enter__(self):
        self._process.start()
        while self._port.value == 0:
            if not self._process.is_alive():
                raise RuntimeError("the feed does not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()

    def url(self, name: str) -> str:
        """Where the daemon of this name reads."""
        return f"http://127.0.0.1:{self._port.value}/{name}"

    def sent(self, name: str) -> int:
        """Pictures sent on the last connection of this daemon."""
        return self._sent.get(name, (0, 0))[0]

    def waiting(self, name: str) -> int:
        """Pictures this daemon has not made room for yet."""
        return self._sent.get(name, (0, 0))[1]

    @property
    def tick(self) -> int:
        """Pictures sent so far."""
        return self._tick.value

    @property
    def worst_delay_s(self) -> float:
        """The furthest the feed has ever been behind its rate."""
        return self._late_ms.value / 1000

    def wait_until(self, tick: int) -> None:
        """Blocks until this many pictures have been sent."""
        while self._tick.value < tick:
            if not self._process.is_alive():
                raise RuntimeError("the feed has ended")
            time.sleep(0.002)

    def pause(self) -> None:
        """Sends nothing more; connections stay open."""
        self._paused.set()


def _serve(clip: Clip, fps: float, tick, late_ms, paused, ended, sent, port) -> None:
    pictures = clip.pictures()
    parts = [b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(p), p) for p in pictures]
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    readers: list[_Reader] = []

    def accept() -> None:
        while True:
            readers.append(_Reader(listener.accept()[0], sent))

    threading.Thread(target=accept, daemon=True).start()
    port.value = listener.getsockname()[1]
    due = time.monotonic()
    while not ended.is_set():
        due += 1 / fps
        time.sleep(max(0, due - time.monotonic()))
        connected = [reader for reader in readers if reader.ready]
        if paused.is_set() or not connected:
            due = time.monotonic()
            continue
        part = parts[tick.value % len(parts)]
        for reader in connected:
            reader.queue.put(part)
        tick.value += 1
        late_ms.value = max(late_ms.value, int((time.monotonic() - due) * 1000))
    os._exit(0)


class _Reader:
    """A daemon's connection, with a thread of its own: one that does not read holds nobody up."""

    def __init__(self, connection: socket.socket, sent):
        self.queue: SimpleQueue[bytes] = SimpleQueue()
        self.ready = False
        threading.Thread(target=self._serve, args=(connection, sent), daemon=True).start()

    def _serve(self, connection: socket.socket, sent) -> None:
        with suppress(OSError, IndexError), connection:
            name = connection.recv(8192).split()[1].decode().strip("/")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(PATIENCE_S)
            connection.sendall(HEAD)
            self.ready, count = True, 0
            while True:
                connection.sendall(self.queue.get())
                count += 1
                sent[name] = (count, self.queue.qsize())
        self.ready = False
