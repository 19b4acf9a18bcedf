"""A stand-in for the BrainWeb server, on this machine, that can misbehave in the ways the real one does."""

import gzip
import os
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

CODES = (0, 16, 32, 48, 64, 80, 96, 112, 128, 145, 161, 177)  # of labels 0 to 11, as in the files
SHAPE = (362, 434, 362)


def synthetic_raw():
    """A small asymmetric "head" of all twelve tissues in the raw format: uint16 (z, y, x), y to the front."""
    raw = np.zeros(SHAPE, "<u2")
    raw[60:300, 70:380, 50:320] = 96  # skin
    raw[80:280, 90:360, 70:300] = 112  # skull
    raw[90:270, 100:350, 80:290] = 48  # white matter
    raw[90:270, 225:350, 80:290] = 32  # grey matter in front
    for n, code in enumerate(CODES):  # a column of each code, further right for higher labels
        raw[170:190, 150:170, 90 + 16 * n : 100 + 16 * n] = code
    return raw


def packed(raw):
    """The file that BrainWeb would serve."""
    return gzip.compress(raw.tobytes(), 1, mtime=0)


def real_file(subject="04"):
    """Path of a real subject, or a skip with its reason."""
    shared = Path(os.environ.get("PETTUTOR_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    path = shared / "data" / "brainweb" / f"subject_{subject}.bin.gz"
    if not path.exists():
        pytest.skip(f"no real BrainWeb subject {subject} (PETTUTOR_SHARED names a folder with data/brainweb)")
    return path


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        mode = server.modes.pop(0) if len(server.modes) > 1 else server.modes[0]
        body = server.body(self.path) if callable(server.body) else server.body
        status, headers = 200, {}
        if isinstance(mode, int):
            body, status = b"<html>error</html>", mode
        elif mode == "page":
            body = b"<!DOCTYPE html><html>The service is down for maintenance</html>"
        elif mode == "hang":
            time.sleep(1.5)
        elif mode == "stop":  # begins, then hangs up, as a lost connection does
            headers["Content-Length"] = str(len(body))
            body = body[: len(body) // 2]
        elif mode == "stop without length":
            headers["Content-Length"] = None
            body = body[: len(body) // 2]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if mode in ("resume", "resume and stop") and wanted:
            first = int(wanted[1])
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            body, status = body[first:], 206
            if mode == "resume and stop":
                headers["Content-Length"] = str(len(body))
                body = body[: len(body) // 2]
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(body, *modes):
    """Serve ``body`` (or what it gives for a path) in these modes, one per request and then the last.

    Yields the server (.url, .asked).
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.body, server.modes, server.asked = body, list(modes) or ["fine"], []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
