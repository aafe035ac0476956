"""No order of the route is lost, doubled or misreported, whatever breaks and whenever."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from pathlib import Path

import pytest

from brokers.errors import StoreError
from supervisor.routing.choose import Look
from supervisor.routing.model import State
from tests.supervisor.routing.fleet import FATES, ON_THE_WAY, Killed, World, order

SEED = 20261121


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_plain_order_goes_to_the_first_and_says_where(world: World) -> None:
    answer = world.route.place(order("a"))
    assert (answer.http, answer.body["orderid"], answer.body["instance"]) == (200, "dhan:1a", "dhan")
    assert world.sent("a") == {"dhan": 1}
    row = world.journal.by_client_id("a")
    assert row is not None
    assert (row.state, row.order_id) == (State.PLACED, "1a")
    assert "first of the fixed order" in row.chosen.reason


def test_a_repeat_is_answered_from_the_journal(world: World) -> None:
    first = world.route.place(order("a"))
    world.restart()
    again = world.route.place(order("a"))
    assert again.body == {**first.body, "repeated": True}
    assert world.fleet["dhan"].calls == 1
    other = world.route.place(order("a", quantity="2"))
    assert (other.http, other.body["code"]) == (400, "CLIENT_ORDER_ID_REUSED")


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("way", ON_THE_WAY)
def test_every_edge_tells_the_truth(world: World, way: str, fate: str) -> None:
    world.link.script = [(way, fate)]
    answer = world.route.place(order("a"))
    world.deliver()
    for one in world.fleet.values():
        one.evidence()
    world.route.resolve_all()
    row = world.journal.by_client_id("a")
    assert row is not None
    sent = world.sent("a")
    assert sent in ({}, {"dhan": 1})
    if answer.body["status"] == "success":
        assert sent == {"dhan": 1}
    elif answer.body["code"] != "OUTCOME_UNKNOWN":
        assert sent == {}, "told as refused, and it stands at the exchange"
    assert (row.state is State.PLACED) == (sent == {"dhan": 1})
    assert row.state is not State.OPEN


def test_an_order_given_up_is_refused_when_it_arrives_after_all(world: World) -> None:
    world.link.script = [("late", "fine")]
    answer = world.route.place(order("a"))
    assert (answer.http, answer.body["code"]) == (503, "ROUTE_NOT_SENT")
    world.deliver()
    assert world.sent("a") == {}
    again = world.route.place(order("a"))
    assert (again.http, world.sent("a")) == (200, {"dhan": 1}), "the next attempt under the same id"


def test_a_repeat_stays_with_its_instance_for_ever(world: World) -> None:
    world.link.script = [("refused", "fine")]
    assert world.route.place(order("a")).body["code"] == "ROUTE_NOT_SENT"
    world.fleet["dhan"].blocked = "by hand"
    assert world.route.place(order("b", "TCS")).body["instance"] == "kotak"
    world.restart()
    assert world.route.place(order("a")).body["instance"] == "dhan"


def test_a_repeat_does_not_split_what_another_instance_holds_by_now(world: World) -> None:
    world.link.script = [("refused", "fine")]
    assert world.route.place(order("a")).body["code"] == "ROUTE_NOT_SENT"
    world.fleet["kotak"].held.add("NSE:SBIN")
    again = world.route.place(order("a"))
    assert (again.http, again.body["code"]) == (503, "NO_ROUTE")
    assert "was decided for dhan, and kotak holds NSE:SBIN by now" in again.body["message"]
    assert world.sent("a") == {}
    world.fleet["kotak"].held.clear()
    assert world.route.place(order("a")).body["instance"] == "dhan"


def test_a_silent_instance_makes_the_outcome_unknown_and_nobody_else_gets_the_order(world: World) -> None:
    world.link.script, world.link.deaf = [("lost after", "fine")], 10_000
    answer = world.route.place(order("a"))
    assert (answer.http, answer.body["code"], answer.body["orderid"]) == (504, "OUTCOME_UNKNOWN", "R1")
    assert (answer.body["instance"], answer.body["client_order_id"]) == ("dhan", "a")
    again = world.route.place(order("a"))
    assert (again.http, again.body["code"]) == (504, "OUTCOME_UNKNOWN")
    world.link.deaf = 0
    assert world.route.resolve_all() == 0
    assert world.route.place(order("a")).body["orderid"] == "dhan:1a"
    assert (world.sent("a"), world.fleet["kotak"].calls) == ({"dhan": 1}, 0)


@pytest.mark.parametrize("where", ["before send", "on the way", "after send", "before asking"])
def test_a_killed_route_asks_and_sends_nothing_anew(world: World, where: str) -> None:
    way = {"on the way": "late", "before asking": "lost after"}.get(where, "there")
    world.link.script, world.link.kill_at = [(way, "fine")], where
    with pytest.raises(Killed):
        world.route.place(order("a"))
    world.restart()
    assert world.route.resolve_all() == 0
    world.deliver()
    row = world.journal.by_client_id("a")
    assert row is not None
    there = where in ("after send", "before asking")
    assert (row.state, world.sent("a")) == ((State.PLACED, {"dhan": 1}) if there else (State.NOT_SENT, {}))


def test_nothing_is_sent_when_the_decision_cannot_be_kept(world: World, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(world.journal, "add", full)
    with pytest.raises(StoreError):
        world.route.place(order("a"))
    assert world.fleet["dhan"].calls == 0


def test_an_answer_the_disk_refuses_is_told_all_the_same(world: World, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(world.journal, "settle", full)
        assert world.route.place(order("a")).body["orderid"] == "dhan:1a"
    assert world.route.place(order("a")).body["orderid"] == "dhan:1a"
    assert world.sent("a") == {"dhan": 1}


def test_orders_of_one_contract_at_once_stay_together(world: World) -> None:
    """The books show nothing of the first yet, and every second look would prefer the other instance."""
    together, turns = threading.Barrier(6), itertools.count()
    looks = world.looks

    def hidden(exchange: str, symbol: str) -> list[Look]:
        found = looks(exchange, symbol)
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.3)  # all have looked before anybody decides, if that is possible
        turn = next(turns) % 2
        for one in found:
            one.standing["books"]["positions"].clear()
        return found[::-1] if turn else found

    world.looks = hidden  # type: ignore[method-assign]
    world.route = world._route()
    threads = [threading.Thread(target=world.route.place, args=(order(f"o{n}"),)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    placed = [world.sent(f"o{n}") for n in range(6)]
    assert sum(len(sent) for sent in placed) == 6
    assert len({name for sent in placed for name in sent}) == 1


def test_an_instance_that_is_down_keeps_what_it_holds(world: World) -> None:
    world.route.place(order("a"))
    world.clock.wait(60)
    world.route.place(order("b", "TCS"))
    world.fleet["dhan"].up = False
    world.clock.wait(60)
    stuck = world.route.place(order("c"))
    assert (stuck.http, stuck.body["code"]) == (503, "NO_ROUTE")
    assert "dhan holds this contract and cannot trade: does not answer" in stuck.body["message"]
    assert world.route.place(order("d", "INFY")).body["instance"] == "kotak", "not held when last seen"


def test_what_an_instance_did_after_its_books_were_read_counts_however_long_it_is_down(world: World) -> None:
    world.route.place(order("a"))
    world.fleet["dhan"].up = False  # its books were last read before the place
    world.restart()
    world.clock.wait(3600)
    assert world.route.place(order("b")).body["code"] == "NO_ROUTE"


def test_an_instance_nobody_has_seen_stops_everything_new(world: World) -> None:
    world.fleet["dhan"].up = False
    answer = world.route.place(order("a"))
    assert answer.body["code"] == "NO_ROUTE"
    assert "nobody knows whether it holds NSE:SBIN" in answer.body["message"]
    assert world.journal.by_client_id("a") is None, "the id is free: nothing was decided"


def test_live_and_paper_do_not_mix(world: World) -> None:
    world.fleet["kotak"].mode = "analyze"
    answer = world.route.place(order("a"))
    assert (answer.body["code"], "live and paper" in answer.body["message"]) == ("NO_ROUTE", True)
    world.fleet["kotak"].held.add("NSE:SBIN")
    held = world.route.place(order("a"))
    assert held.body["instance"] == "kotak"
    row = world.journal.by_client_id("a")
    assert row is not None
    assert row.chosen.mode == "analyze", "and the instance refuses it in any other mode"


def test_a_panic_is_said_as_one(world: World) -> None:
    for one in world.fleet.values():
        one.blocked = "panic"
    answer = world.route.place(order("a"))
    assert (answer.http, answer.body["code"]) == (403, "ENTRIES_BLOCKED")
    world.fleet["kotak"].held.add("NSE:SBIN")
    assert world.route.place(order("b")).body["instance"] == "kotak", "the holder says itself what may exit"


def test_one_simulated_storm(tmp_path: Path) -> None:
    storm(tmp_path, SEED, 150)


def storm(folder: Path, seed: int, count: int) -> dict[str, int]:
    """Orders through faults on every edge and kills of the route; what was told is held against the truth."""
    world = World(folder, seed, harm=0.5)
    rng = world.rng
    said: dict[str, str] = {}
    kills = 0
    for number in range(count):
        client_id = f"o{number // 2 if rng.random() < 0.2 else number}"
        world.clock.wait(rng.choice((0.0, 0.1, 20.0)))
        if rng.random() < 0.15:
            world.link.kill_at = rng.choice(("before send", "on the way", "after send", "before asking"))
        try:
            answer = world.route.place(order(client_id, f"S{int(client_id[1:]) % 40}"))
            said[client_id] = str(answer.body.get("code") or answer.body["status"])
        except Killed:
            kills += 1
            said.pop(client_id, None)
            world.restart()
            if rng.random() < 0.5:
                world.route.resolve_all()
        if rng.random() < 0.3:
            world.deliver()
        if rng.random() < 0.1:
            rng.choice(list(world.fleet.values())).evidence()
        one = rng.choice(list(world.fleet.values()))
        one.up = one.up if rng.random() < 0.9 else not one.up
    _drain(world)
    _check(world, said)
    assert kills
    return {"kills": kills, **world.journal.counts()}


def _drain(world: World) -> None:
    world.link.harm, world.link.kill_at = 0.0, ""
    for one in world.fleet.values():
        one.up = True
        one.evidence()
    world.deliver()
    assert world.route.resolve_all() == 0


def _check(world: World, said: dict[str, str]) -> None:
    held = Counter(contract for one in world.fleet.values() for contract in one.held)
    assert max(held.values()) == 1, f"at two brokers: {[c for c, n in held.items() if n > 1]}"
    ids = {client_id for one in world.fleet.values() for client_id in one.exchange}
    for client_id in ids | said.keys():
        row, sent = world.journal.by_client_id(client_id), world.sent(client_id)
        assert sum(sent.values()) <= 1, f"{client_id} stands twice: {sent}"
        if row is None:
            assert (sent, said[client_id]) == ({}, "NO_ROUTE")
            continue
        assert (row.state is State.PLACED) == bool(sent), f"{client_id}: {row.state}, {sent}"
        assert set(sent) <= {row.chosen.instance}
        told = said.get(client_id)
        if told == "success":
            assert sent
        elif told not in (None, "OUTCOME_UNKNOWN"):
            assert not sent, f"{client_id} was told {told} and stands at {sent}"
