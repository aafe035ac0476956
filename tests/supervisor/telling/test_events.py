"""What is told and when, as histories; and that a hook really gets it."""

from __future__ import annotations

import asyncio
import http.server
import json
import sys
import threading
from pathlib import Path

import pytest

from brokers.secret import Secret
from gateway.settings.hooks import EVENTS, HookRules
from supervisor.telling import hooks as hooks_module
from supervisor.telling.events import Event, Facts, between, facts_of, kept
from supervisor.telling.hooks import Hooks
from supervisor.telling.teller import Teller

WELL = Facts(True)
EVENT = Event(1, "2026-11-20T00:00:00.000+00:00", "dhan", "wedged", "dhan.api: mute")


def bad(*names: str, ready: bool = False) -> Facts:
    return Facts(ready, {name: f"why {name}" for name in names})


@pytest.mark.parametrize(
    ("history", "told"),
    [
        ([WELL], ["ready"]),
        ([WELL, WELL], ["ready"]),
        ([WELL, bad("wedged"), bad("wedged"), WELL, WELL], ["ready", "wedged", "recovered"]),
        # between the end of the fault and readiness nothing is told, and it is told then
        ([WELL, bad("wedged"), Facts(False), WELL], ["ready", "wedged", "recovered"]),
        ([WELL, bad("feed-mute", ready=True), bad("feed-mute", "disk-low", ready=True), WELL],
         ["ready", "feed-mute", "disk-low", "recovered"]),
        ([bad("failed"), bad("failed", "disk-low")], ["failed", "disk-low"]),
        ([WELL, Facts(False), WELL], ["ready", "ready"]),
    ],
)  # fmt: skip
def test_each_thing_is_told_once_when_it_begins(history: list[Facts], told: list[str]) -> None:
    seen, before = [], Facts()
    for after in history:
        seen += [name for name, _ in between(before, after)]
        before = kept(before, after)
    assert seen == told


def test_facts_come_from_states_and_from_what_the_children_say() -> None:
    row = {
        "name": "dhan",
        "state": "degraded",
        "children": [{"key": "dhan.api", "state": "wedged", "reason": "no answer"}],
    }
    bodies = {
        "feed": {
            "feed": {"state": "silent", "reason": "12 s"},
            "alerts": [{"what": "coverage", "value": 60, "level": "critical"}, {"what": "cpu", "value": 90}],
        },
        "api": {"unknown": 2},
    }
    found = facts_of(row, bodies, "40 MB free")
    assert not found.ready
    assert set(found.wrong) == {"wedged", "feed-mute", "coverage-low", "order-unknown", "disk-low"}
    assert set(found.wrong) < set(EVENTS)
    assert facts_of({"name": "dhan", "state": "ready", "children": []}, {}, "") == WELL


def test_a_command_gets_the_event_on_its_standard_input(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'w').write(sys.stdin.read())"

    async def run() -> None:
        hooks = Hooks()
        hooks.tell(HookRules(command=f'{sys.executable} -c "{code}"'), EVENT)
        hooks.tell(HookRules(command="true", events=frozenset({"ready"})), EVENT)
        await hooks.finish(20)

    asyncio.run(run())
    assert json.loads(out.read_text()) == EVENT.to_plain()


def test_a_url_gets_the_event_as_json() -> None:
    got = []

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Take)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    async def run() -> None:
        hooks = Hooks()
        hooks.tell(HookRules(url=Secret(f"http://127.0.0.1:{server.server_port}/T0/B1")), EVENT)
        await hooks.finish(20)

    asyncio.run(run())
    server.shutdown()
    server.server_close()
    assert got == [("/T0/B1", EVENT.to_plain())]


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("/no/such/program", "cannot run"),
        ("false", "failed, exit code 1"),
        (f"{sys.executable} -c 'import time; time.sleep(60)'", "ended after"),
    ],
)
def test_a_hook_that_fails_or_hangs_is_named_and_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, command: str, word: str
) -> None:
    monkeypatch.setattr(hooks_module, "DEADLINE_S", 0.5)

    async def run() -> None:
        hooks = Hooks()
        hooks.tell(HookRules(command=command), EVENT)
        await hooks.finish(20)
        assert not hooks.pids

    asyncio.run(run())
    assert word in caplog.text


def test_a_watcher_waits_for_what_comes_next() -> None:
    async def run() -> list[int]:
        teller = Teller(Hooks())
        waiting = asyncio.create_task(teller.after(0, 20))
        await asyncio.sleep(0)
        teller.tell("dhan", "ready", "", [HookRules()])
        seen = [event.seq for event in await waiting]
        assert await teller.after(1, 0.0) == ()
        return seen

    assert asyncio.run(run()) == [1]
