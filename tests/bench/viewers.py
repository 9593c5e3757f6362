"""Viewers of a daemon's MJPEG stream: a process of its own that reads and throws away."""

import http.client
import multiprocessing as mp
import threading
import time
from urllib.parse import urlsplit


class Viewers:
    """As many viewers of one address as asked, from `with` on."""

    def __init__(self, url: str, count: int):
        spawn = mp.get_context("spawn")
        self._pictures, self._bytes = spawn.Value("q", 0), spawn.Value("q", 0)
        self._process = spawn.Process(target=_watch, args=(url, count, self._pictures, self._bytes), daemon=True)

    def __enter__(self):
        self._process.start()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.join(5)

    def received(self) -> tuple[int, int]:
        """Pictures and their bytes that all viewers together have received."""
        return self._pictures.value, self._bytes.value


def _watch(url: str, count: int, pictures, size) -> None:
    for _ in range(count):
        threading.Thread(target=_view, args=(url, pictures, size), daemon=True).start()
    threading.Event().wait()


def _view(url: str, pictures, size) -> None:
    at, buffer = urlsplit(url), bytearray(4 << 20)
    target = at.path + (f"?{at.query}" if at.query else "")
    while True:
        connection = http.client.HTTPConnection(at.hostname, at.port, timeout=10)
        try:
            connection.request("GET", target or "/")
            response = connection.getresponse()
            while line := response.readline():
                name, _, value = line.partition(b":")
                if name.lower() != b"content-length":
                    continue
                length = int(value)
                while response.readline().strip():
                    pass
                view, filled = memoryview(buffer)[:length], 0
                while filled < length:
                    got = response.readinto(view[filled:])
                    if not got:
                        raise ConnectionError("the stream ended within a picture")
                    filled += got
                with pictures.get_lock():
                    pictures.value += 1
                with size.get_lock():
                    size.value += length
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(0.2)
        finally:
            connection.close()
