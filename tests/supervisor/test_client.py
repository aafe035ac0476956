"""How a command reaches an instance's api: running, just starting, or not at all."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings import Settings
from supervisor import client
from supervisor.children.identity import identify, nonce_option
from supervisor.running import CommandFailed
from supervisor.state import Record, RunFolder
from tests.ports import free_ports
from tests.supervisor.test_plan import make


class Api(http.server.BaseHTTPRequestHandler):
    """Answers every call with an empty object."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Settings]:
    """An instance whose api process lives and does not listen."""
    one = make(tmp_path, "dhan", FLASK_PORT=str(free_ports(1)[0]))
    folder = RunFolder(tmp_path, one.venue)
    folder.path.mkdir(parents=True)
    mute = [sys.executable, "-X", nonce_option("mute"), "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(mute) as process:
        folder.write_state(["dhan"], {}, [Record("dhan.api", "dhan", identify(process.pid, "mute"), "", 0)])
        yield one
        process.kill()


def test_an_api_that_is_just_starting_is_waited_for(
    starting: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []

    def listen(_: float) -> None:
        if not served:
            served.append(http.server.HTTPServer(("127.0.0.1", starting.port), Api))
            threading.Thread(target=served[0].handle_request, daemon=True).start()

    monkeypatch.setattr(client.time, "sleep", listen)
    assert client.ask_api(starting, "GET", "/internal/keys") == (200, {})
    served[0].server_close()


def test_one_that_never_listens_is_said_and_nothing_is_opened_beside_it(
    starting: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "STARTING_S", 0.0)
    with pytest.raises(CommandFailed, match=r"runs but does not listen yet.*algo status"):
        client.ask_api(starting, "GET", "/internal/keys")
