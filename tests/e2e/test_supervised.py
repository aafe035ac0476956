"""What the supervisor promises, with real processes. Full counts: ``scripts/campaign hang``, ``adoption``,
``kill_storm``, ``bad_home``."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.campaigns import adoption, hang, kill_storm, route
from supervisor.children.identity import TREE_VARIABLE, tree
from tests.clients import client_python
from tests.e2e.fleet import Fleet, until
from tests.e2e.overseen import Overseen
from tests.midnight import not_over_midnight

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="signals and limits of Linux"),
]
SEED = 20261120
SDK_ROUTE = Path(__file__).with_name("sdk_route.py")
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    not_over_midnight(100.0)
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init("kotak", "dhan")
    kill_storm.quick_settings(one)
    route.ask_for_route(one, "dhan", "kotak")
    try:
        one.ok("up", "kotak", "dhan", "--sim", "-d", "--symbols", kill_storm.SYMBOLS)
        yield one
    finally:
        one.destroy()


@pytest.fixture
def seen(fleet: Fleet) -> Overseen:
    one = Overseen(fleet)
    until(one.all_ready, 60, "all ready")
    return one


def test_a_supervisor_killed_and_started_again_five_times_is_noticed_by_nobody(fleet: Fleet) -> None:
    adoption.run(fleet, 5)


def test_a_hung_process_is_replaced_and_a_mute_feed_kept(fleet: Fleet, seen: Overseen) -> None:
    hang.run(fleet, ["dhan.api"], ["kotak"], patience=2.0)


def test_six_kills_lose_and_double_no_order(fleet: Fleet, seen: Overseen) -> None:
    found = kill_storm.run(fleet, 6, SEED, gap_s=0.1)
    assert sum(found.answers.values()) > 0
    assert len(found.all) == 6


def test_the_unmodified_sdk_trades_over_the_route(fleet: Fleet, seen: Overseen) -> None:
    said = sdk_route(fleet)
    assert said["placed"]["orderid"].startswith("dhan:"), "the first of the fixed order"
    assert said["open"]["data"]["order_status"] == "open"
    assert said["modified"]["status"] == said["cancelled"]["status"] == "success"
    assert [row["instance"] for row in said["in_book"]] == ["dhan"]
    assert said["after_cancel"]["data"]["order_status"] == "cancelled"
    assert (said["smart"]["instance"], said["held"]["quantity"]) == ("dhan", 2)
    assert said["matched"]["message"] == "Positions Already Matched. No Action needed."
    assert [(row["instance"], int(row["quantity"])) for row in said["positions"]] == [("dhan", 2)]
    assert {row["orderid"].partition(":")[0] for row in said["tradebook"]} == {"dhan"}
    assert (said["out"]["instance"], said["flat"]["quantity"]) == ("dhan", 0)
    assert said["cancel_all"]["status"] == "success"
    assert (said["basket"]["code"], "placeorder" in said["basket"]["message"]) == (501, True)
    assert (said["funds"]["code"], "ask each instance" in said["funds"]["message"]) == (501, True)
    assert said["ticks"] == 1, "its key streams from the instance whose data it uses"
    row = next(r for r in fleet.status()["services"] if r["name"] == "route")
    assert (row["state"], row["work"]) == ("ready", "0-open")
    told = fleet.ok("compare", "--route", "--symbol", "ITC")
    assert "dhan:" in told
    assert "first of the fixed order" in told


def test_orders_survive_the_end_of_the_route_and_of_the_chosen_one(fleet: Fleet, seen: Overseen) -> None:
    found = route.run(fleet, 24, 2, SEED, pause_s=0.1)
    assert found.answers["200"] > 0
    assert found.kills == {"route": 1, "dhan.api": 1}


def sdk_route(fleet: Fleet) -> dict[str, Any]:
    key = fleet.ok("route", "key", "create", "--quiet").strip()
    port, feed = fleet.shared["ROUTE_PORT"], fleet.ports["dhan"]["WEBSOCKET_PORT"]
    words = [str(client_python("openalgo")), str(SDK_ROUTE), f"http://127.0.0.1:{port}", key, str(feed)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    rows = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert rows, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{fleet.tails()}"
    return dict(json.loads(rows[0].removeprefix("RESULT ")))


def test_settings_others_may_read_leave_the_other_instance_adopted(fleet: Fleet, seen: Overseen) -> None:
    pids = seen.pids()
    path = fleet.home / "instances" / "dhan.env"
    path.chmod(0o644)
    seen.kill_supervisor()
    fleet.ok("up", "kotak", "--sim", "-d")
    rows = seen.rows()
    assert (rows["kotak"]["state"], rows["dhan"]["state"]) == ("ready", "unsupervised")
    refused = fleet.algo("up", "dhan", "--sim", "-d")
    assert refused.returncode == 2
    assert "chmod 600 instances/dhan.env" in refused.stderr
    fleet.algo("doctor", "dhan", "--fix")
    fleet.ok("up", "dhan", "--sim", "-d")
    until(seen.all_ready, 15, "all ready, what the home has once too")
    # the market-data store's process is told anew which instances it may ask
    now = seen.pids()
    del now["historify"], pids["historify"]
    assert now == pids


def test_a_supervisor_without_descriptors_harms_no_child_and_recovers(fleet: Fleet, seen: Overseen) -> None:
    supervisor = seen.folder.supervisor()
    assert supervisor is not None
    before, limits = seen.pids(), supervisor.rlimit(resource.RLIMIT_NOFILE)
    supervisor.rlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    os.kill(before["dhan.feed"], signal.SIGKILL)
    try:
        log = fleet.home / "db" / "sim" / "log" / "supervisor.log"
        until(lambda: "Too many open files" in log.read_text(), 10, "the shortage is said")
    finally:
        supervisor.rlimit(resource.RLIMIT_NOFILE, limits)
    seen.replaced("dhan.feed", before.pop("dhan.feed"), 30)
    after = seen.pids()
    del after["dhan.feed"]
    assert after == before


def test_a_damaged_database_is_named_and_the_other_instance_goes_on(fleet: Fleet, seen: Overseen) -> None:
    kotak = seen.rows()["kotak"]["pids"]
    path = fleet.home / "db" / "sim" / "openalgo_dhan.db"
    seen.kill("dhan.api", signal.SIGSTOP)
    path.write_bytes(b"not a database at all" * 1000)
    seen.kill("dhan.api")
    until(lambda: seen.children()["dhan.api"]["state"] == "failed", 60, "the api process gives up")
    said = fleet.ok("status", "dhan")
    assert "dhan.api failed: " in said
    assert str(path) in said
    again = fleet.algo("up", "dhan", "--sim", "-d")
    assert again.returncode != 0
    assert str(path) in again.stderr
    assert str(path) in fleet.algo("doctor", "dhan").stdout
    for damaged in path.parent.glob("openalgo_dhan.db*"):
        damaged.rename(damaged.with_name(f"damaged-{damaged.name}"))
    fleet.ok("up", "dhan", "--sim", "-d")
    row = seen.rows()["kotak"]
    assert (row["pids"], row["state"]) == (kotak, "ready")


def test_down_ends_what_a_child_started_in_its_own_session_deaf_to_term(fleet: Fleet, seen: Overseen) -> None:
    environment = psutil.Process(seen.pids()["kotak.api"]).environ()
    nonce = environment[TREE_VARIABLE]
    deaf = subprocess.Popen([sys.executable, "-c", DEAF], env=environment, start_new_session=True)
    try:
        until(lambda: deaf.pid in tree(nonce), 5, "it runs")
        begun = time.monotonic()
        fleet.ok("down")
        took_s = time.monotonic() - begun
        until(lambda: deaf.poll() is not None, 1, "the deaf one is gone")
    finally:
        deaf.kill()
        deaf.wait(5)
    assert deaf.returncode == -signal.SIGKILL
    assert took_s <= 10.0
    assert not fleet.processes()
    assert not kill_storm.leaked_ports(fleet)
