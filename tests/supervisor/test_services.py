"""What a home has once, with a stand-in for the process that is started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from brokers.clock import IST
from brokers.errors import SettingsError
from brokers.venue import Venue
from supervisor import plan, services
from supervisor.children import policy
from supervisor.children.policy import State
from supervisor.children.usage import SAMPLES
from supervisor.loop import Supervisor
from supervisor.operations import checkup
from supervisor.render import status_table
from supervisor.state import RunFolder
from supervisor.telling.openwatch import OpenWatch
from tests.ports import free_ports
from tests.supervisor.test_loop import until
from tests.supervisor.test_plan import make

NONE = plan.UpOptions()
STAND_IN = """
import http.server, json, os, sys
config = json.load(open(sys.argv[2]))
chosen = [one["instance"] for one in config["candidates"]]
class Health(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"ready": True, "pid": os.getpid(), "state": "waiting for capability",
            "puller": chosen[0] if chosen else None, "epoch": 7, "waiting_for": ["an api"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", config["port"]), Health).serve_forever()
"""


def test_its_file_says_what_the_process_needs(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak"), make(tmp_path, "dhan", HISTORIFY_PORT="6051", SIM_HOURS="nse")]
    spec = services.historify(pair, plan.UpOptions(puller="dhan"))
    assert spec is not None
    assert spec.argv[1:] == ("-m", "historify", "--config", str(tmp_path / "db/sim/run/historify.json"))
    assert spec.after == (), "it must not hold up what trades"
    assert spec.config is not None
    assert json.loads(spec.config.text) == {
        "store": str(tmp_path / "db/sim/historify.duckdb"),
        "venue": "sim",
        "hours": "always",
        "publish_seconds": 15,
        "port": 6051,
        "secret_file": str(tmp_path / "db/sim/run/historify.key"),
        "candidates": [
            {"instance": "dhan", "broker": "dhan", "api": "http://127.0.0.1:5001", "standby": False}
        ],
    }


def test_no_process_where_everyone_only_reads(tmp_path: Path) -> None:
    readers = [make(tmp_path, name, HISTORIFY_ROLE="reader") for name in ("kotak", "dhan")]
    assert services.historify(readers, NONE) is None


@pytest.mark.parametrize("setting", ["HISTORIFY_PORT", "HISTORIFY_PUBLISH_SECONDS"])
def test_two_values_for_one_process_are_refused_with_both_lines(tmp_path: Path, setting: str) -> None:
    pair = [make(tmp_path, "kotak", **{setting: "601"}), make(tmp_path, "dhan", **{setting: "602"})]
    with pytest.raises(
        SettingsError, match=r"kotak\.env line \d+ says 601 and .*dhan\.env line \d+ says 602"
    ):
        services.historify(pair, NONE)


def test_two_stores_are_refused_without_showing_a_password(tmp_path: Path) -> None:
    live = {"venue": Venue.LIVE, "DHAN_CLIENT_ID": "1100000001", "DHAN_ACCESS_TOKEN": "x"}
    one = make(tmp_path, "dhan", HISTORIFY_DATABASE_URL="postgresql://u:hush@db/bars", **live)
    two = make(tmp_path, "dhan2", "dhan", **live)
    with pytest.raises(SettingsError, match=r"share one market-data store.*dhan\.env line \d+") as caught:
        services.store_of([one, two])
    assert "postgresql://db/bars" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_its_port_may_be_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SERVICES", (services.historify,))
    one = make(tmp_path, "dhan", HISTORIFY_PORT="8766")
    with pytest.raises(SettingsError, match="port 8766 is used twice: dhan.feed WEBSOCKET_PORT"):
        services.children([one], NONE)
    [found] = checkup.store([one])
    assert "port 8766" in found.what


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two instances without processes of their own, and the stand-in as the store's."""
    script = tmp_path / "standin.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(services, "SERVICES", (services.historify,))
    monkeypatch.setattr(services, "PROGRAMS", {"historify": (str(script),)})
    monkeypatch.setattr("supervisor.loop.plan.children", lambda *_: [])
    [port] = free_ports(1)
    for name in ("kotak", "dhan"):
        make(tmp_path, name, HISTORIFY_PORT=str(port))
    return tmp_path


def watched(home: Path, act: Callable[[Supervisor], Awaitable[None]]) -> None:
    async def run() -> None:
        boss = Supervisor(RunFolder(home, Venue.SIM), policy.Rules(stop_deadline_s=2.0))
        try:
            await act(boss)
        finally:
            await boss._command("down", {})

    asyncio.run(run())


async def ready(boss: Supervisor, puller: str) -> dict[str, Any]:
    """Its row once it runs and says that it pulls through this instance."""

    async def now() -> dict[str, Any]:
        rows = (await boss._command("status", {}))["services"]
        return next(iter(rows), {})

    for _ in range(600):
        row = await now()
        if row.get("state") == "ready" and row["puller"] == puller:
            return row
        await asyncio.sleep(0.02)
    raise AssertionError(row)


def test_one_for_all_started_anew_when_its_instances_change(home: Path) -> None:
    async def act(boss: Supervisor) -> None:
        await boss._command("up", {"names": ["kotak"]})
        first = await ready(boss, "kotak")
        path = home / "db/sim/run/historify.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert first["work"] == "waiting for capability"
        assert first["waiting_for"] == ["historify: waiting for capability: an api"]
        await boss._command("up", {"names": ["dhan"]})
        second = await ready(boss, "dhan")
        assert second["pid"] != first["pid"]
        await boss._command("up", {"names": ["dhan"]})
        await boss._command("restart", {"names": ["dhan"]})
        await until(lambda: not boss._chores)
        assert (await ready(boss, "dhan"))["pid"] == second["pid"], "nothing changed for it"
        await boss._command("down", {"names": ["dhan"]})
        third = await ready(boss, "kotak")
        os.kill(third["pid"], signal.SIGKILL)
        await until(lambda: boss._slots["historify"].child.pid != third["pid"])
        assert (await ready(boss, "kotak"))["restarts"] == 1

    watched(home, act)
    assert RunFolder(home, Venue.SIM).live_children() == []


def test_taking_all_down_while_it_is_started_anew_leaves_no_copy(home: Path) -> None:
    async def act(boss: Supervisor) -> None:
        await boss._command("up", {"names": ["kotak", "dhan"]})
        await ready(boss, "dhan")
        await boss._command("down", {"names": ["dhan"]})
        # for kotak alone it is another process; the old one is just being stopped
        await asyncio.sleep(0)
        assert boss._slots["historify"].child.state is State.STOPPING
        await boss._command("down", {})
        await until(lambda: not boss._chores)

    watched(home, act)
    left = [
        one for one in psutil.process_iter(["cmdline"]) if str(home) in " ".join(one.info["cmdline"] or ())
    ]
    for one in left:
        one.kill()
    assert left == []


def test_a_restart_says_whose_market_is_open(home: Path) -> None:
    with (home / "instances/kotak.env").open("a") as file:
        file.write("SIM_HOURS=nse\n")

    async def act(boss: Supervisor) -> None:
        boss._open = OpenWatch(lambda: datetime(2026, 11, 20, 12, tzinfo=IST))
        assert boss.is_quiet(datetime.now(UTC)), "nothing runs"
        await boss._command("up", {"names": ["kotak", "dhan"]})
        assert not boss.is_quiet(datetime.now(UTC)), "one of the two never closes, the other trades"
        told = await boss._command("restart", {})
        assert told == {"restarted": ["kotak", "dhan"], "in_market_hours": ["kotak"]}
        boss._open = OpenWatch(lambda: datetime(2026, 11, 21, 12, tzinfo=IST))
        assert boss.is_quiet(datetime.now(UTC)), "a Saturday"

    watched(home, act)


def test_the_next_supervisor_adopts_it(home: Path) -> None:
    async def act(boss: Supervisor) -> None:
        await boss._command("up", {"names": ["dhan"], "options": {"puller": "dhan"}})
        row = await ready(boss, "dhan")
        successor = Supervisor(RunFolder(home, Venue.SIM), policy.Rules())
        successor._adopt()
        assert (await ready(successor, "dhan"))["pid"] == row["pid"]
        for slot in successor._slots.values():
            assert slot.probing is not None
            slot.probing.cancel()

    watched(home, act)


def test_it_is_shown_beside_the_instances(home: Path) -> None:
    async def act(boss: Supervisor) -> None:
        await boss._command("up", {"names": ["dhan"]})
        await ready(boss, "dhan")
        status = await boss._command("status", {})
        table = status_table(status, 140)
        shown = [list(column.cells)[-1].plain for column in table.columns]  # type: ignore[union-attr]
        assert shown[:2] == ["historify", "ready"]
        assert shown[6:8] == ["dhan #7", "waiting"]
        [found] = checkup.services_now(status["services"])
        assert "an api" in found.what

    watched(home, act)


def test_a_child_over_its_limit_is_degraded_and_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.children.slot.EVERY_S", 0.0)
    monkeypatch.setattr("supervisor.children.caretaker.RUNNING_PROBE_S", 0.02)
    greedy = plan.ProcessLimits(memory_mb=1.0)
    make_spec = services.historify

    def historify(instances: Any, options: plan.UpOptions) -> plan.ChildSpec | None:
        spec = make_spec(instances, options)
        return None if spec is None else plan.replace(spec, limits=greedy)

    monkeypatch.setattr(services, "SERVICES", (historify,))

    async def act(boss: Supervisor) -> None:
        await boss._command("up", {"names": ["dhan"]})
        slot = boss._slots
        await until(lambda: "historify" in slot and slot["historify"].child.state is State.DEGRADED)
        assert "more than 1 for" in slot["historify"].child.reason
        assert len(slot["historify"].usage.samples) == SAMPLES
        events = (await boss._command("events", {"wait_s": 1}))["events"]
        told = next(e["reason"] for e in events if e["name"] == "over-limit")
        assert told.startswith("historify: memory")
        monkeypatch.setattr("supervisor.children.slot.EVERY_S", 1000.0)
        slot["historify"].usage = type(slot["historify"].usage)()
        slot["historify"].spec = plan.replace(slot["historify"].spec, limits=plan.ProcessLimits())
        await until(lambda: slot["historify"].child.state is State.READY)

    watched(home, act)


def test_the_fleet_page_is_told_where_to_look_and_not_whom(tmp_path: Path) -> None:
    one = make(tmp_path, "kotak", CONSOLE_PORT="6050")
    spec = services.console([one], NONE)
    both = services.console([one, make(tmp_path, "dhan")], NONE)
    assert spec is not None
    assert services.same(spec, both), "another instance does not restart it"
    assert spec.argv[1:] == (
        "-m",
        "supervisor.console",
        "--config",
        str(tmp_path / "db/sim/run/console.json"),
    )
    assert spec.config is not None
    told = json.loads(spec.config.text)
    assert (told["home"], told["venue"], told["port"]) == (str(tmp_path), "sim", 6050)
    assert "evil.example" not in told["hosts"]
    assert "127.0.0.1" in told["hosts"]


def test_the_fleet_page_needs_a_supervisor(tmp_path: Path) -> None:
    one = make(tmp_path, "dhan")
    assert [spec.key for spec in services.children([one], NONE)] == ["historify", "console"]
    assert [spec.key for spec in services.alone([one])] == ["historify"]


def test_a_route_is_there_when_it_is_asked_for(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak"), make(tmp_path, "dhan", ROUTE="dhan,kotak,third", ROUTE_PORT="6052")]
    spec = services.route(pair, NONE)
    assert spec is not None
    assert spec.argv[1:] == ("-m", "supervisor.routing", "--config", str(tmp_path / "db/sim/run/route.json"))
    assert spec.config is not None
    told = json.loads(spec.config.text)
    assert (told["instances"], told["data"], told["port"]) == (["dhan", "kotak", "third"], "dhan", 6052)
    assert services.route(pair[:1], NONE) is None
    assert services.route(pair[:1], plan.UpOptions(route=("kotak",))) is not None
    assert services.route(pair[:1], plan.UpOptions(route=("dhan",))) is None, "none of them runs"
    assert "route" not in [one.key for one in services.alone(pair)]


def test_two_routes_in_one_home_are_refused(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak", ROUTE="kotak,dhan"), make(tmp_path, "dhan", ROUTE="dhan,kotak")]
    with pytest.raises(SettingsError, match="ROUTE is one for all instances"):
        services.route(pair, NONE)
    alone = make(tmp_path / "other", "dhan", ROUTE="dhan", ROUTE_DATA="kotak")
    with pytest.raises(SettingsError, match="ROUTE_DATA is kotak, expected one of the route: dhan"):
        services.route([alone], NONE)
