"""Whose puller answers at a port."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from historify.control import Control
from historify.portable import plain


@contextmanager
def answering(body: dict[str, Any]) -> Iterator[int]:
    """A health page on a free port."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("own", [True, False])
def test_a_puller_of_another_home_is_not_ours(tmp_path: Path, own: bool) -> None:
    ours, theirs = (Control(tmp_path / name / "control.db") for name in ("ours", "theirs"))
    told = {"ready": True, "state": "idle", "store": (ours if own else theirs).store_id}
    with answering(told) as port:
        assert (plain.puller(port, ours) is not None) is own
    ours.close()
    theirs.close()
