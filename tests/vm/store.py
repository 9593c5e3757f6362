"""A small store that speaks S3 and is strict: it keeps whole files only, obeys every condition, and remembers whoever replaces without one.

Beside the requests it answers nothing and checks no signature; what it holds are the files below its folder.
"""

import hashlib
import http.server
import os
import threading
import time
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

BUCKET = "/cameras/"


class Store(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.lock = folder, threading.Lock()
        self.etags, self.replaced, self.asked = {}, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def file(self, key):
        return os.path.join(self.folder, key)

    def active(self, since):
        """Whether anything has been asked since then."""
        with self.lock:
            return bool(self.asked) and self.asked[-1] > since


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def key(self):
        path = unquote(urlsplit(self.path).path)
        assert path.startswith(BUCKET) and ".." not in path, path
        return path.removeprefix(BUCKET)

    def answer(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code):
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), Content_Type="application/xml")

    def do_HEAD(self):
        self.look(with_body=False)

    def do_GET(self):
        self.look(with_body=True)

    def look(self, with_body):
        key, store = self.key(), self.server
        with store.lock:
            store.asked.append(time.monotonic())
            etag = store.etags.get(key)
            data = open(store.file(key), "rb").read() if etag else b""
        if not etag:
            return self.refuse(404, "NoSuchKey") if with_body else self.answer(404)
        self.answer(200, data if with_body else b"", len(data), ETag=etag, Last_Modified=formatdate(usegmt=True), Content_Type="application/octet-stream")

    def do_PUT(self):
        key, store = self.key(), self.server
        length = int(self.headers["Content-Length"])
        data = self.rfile.read(length)
        with store.lock:
            store.asked.append(time.monotonic())
            if len(data) != length:
                self.close_connection = True  # cut off: nothing of it is kept
                return None
            claimed = self.headers.get("x-amz-content-sha256", "")
            if len(claimed) == 64 and claimed != hashlib.sha256(data).hexdigest():
                return self.refuse(400, "XAmzContentSHA256Mismatch")
            there, wanted = store.etags.get(key), self.headers.get("If-Match")
            if (self.headers.get("If-None-Match") == "*" and there) or (wanted and wanted != there):
                return self.refuse(412, "PreconditionFailed")
            if there and not wanted:
                store.replaced.append(key)
            os.makedirs(os.path.dirname(store.file(key)), exist_ok=True)
            with open(store.file(key), "wb") as file:
                file.write(data)
            store.etags[key] = f'"{hashlib.md5(data).hexdigest()}"'
        return self.answer(200, ETag=store.etags[key])
