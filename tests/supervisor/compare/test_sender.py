"""The sender against instances that are slow, silent, unsure or gone: times stay, nothing is left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from supervisor.compare import probe, sender
from supervisor.compare.sender import Run, tidy
from tests.supervisor.compare.pipeline import MARKET

Answer = tuple[int, dict[str, Any]]
PERIOD_S = 0.05


class Desk:
    """An instance's book in memory. ``odd(path, number)`` may answer instead, or raise as a lost one does."""

    def __init__(self, odd: Callable[[str, int], Answer | None] = lambda path, number: None) -> None:
        self.odd = odd
        self.lock = threading.Lock()
        self.rows: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.foreign: list[dict[str, Any]] = []
        self.unsure = 0

    def post(self, path: str, fields: Mapping[str, Any]) -> Answer:
        with self.lock:
            self.calls.append(path)
            number = self.calls.count(path) - 1
            if path == "placeorder":
                order_id = f"B{number}"
                self.rows[order_id] = {
                    "client_order_id": fields["client_order_id"],
                    "orderid": order_id,
                    "status": "open",
                    "filled": 0,
                    "reason": "",
                }
            elif fields["orderid"] not in self.rows:
                return 400, {"code": "ORDER_NOT_FOUND"}
            elif path == "cancelorder":
                order_id = fields["orderid"]
                if self.rows[order_id]["status"] == "open":
                    self.rows[order_id]["status"] = "cancelled"
            else:
                order_id = fields["orderid"]
        return self.odd(path, number) or (200, {"status": "success", "orderid": order_id})

    def standing(self) -> dict[str, Any]:
        with self.lock:
            if self.unsure:
                self.unsure -= 1
            elif any(row["status"] == "unknown" for row in self.rows.values()):
                for row in self.rows.values():
                    row["status"] = "open" if row["status"] == "unknown" else row["status"]
            working = [
                {"orderid": r["orderid"], "probe": True} for r in self.rows.values() if r["status"] == "open"
            ]
            return {"orders": [*working, *self.foreign], "probes": [dict(row) for row in self.rows.values()]}

    @property
    def working(self) -> list[str]:
        return [row["orderid"] for row in self.rows.values() if row["status"] in ("open", "unknown")]


def run_of(desks: Mapping[str, Desk], rounds: int = 4, **more: Any) -> Run:
    plan = probe.plan("NSE", "SBIN", "BUY", dict.fromkeys(desks, MARKET), rounds, 5, period_s=PERIOD_S)
    return Run(plan, desks, "t", **more)


def outcomes(run: Run, op: str) -> list[str]:
    return [shot.outcome for shot in sorted(run.shots, key=lambda s: (s.round, s.instance)) if shot.op == op]


def test_every_probe_is_placed_modified_and_cancelled() -> None:
    desks = {"a": Desk(), "b": Desk()}
    run = run_of(desks)
    left = run.go()
    assert left.clean
    assert left.cancelled_late == 0
    assert len(run.shots) == 24
    assert {shot.outcome for shot in run.shots} == {sender.ACKNOWLEDGED}
    assert not any(desk.working for desk in desks.values())
    # one pair, one id: it is what the latency databases pair by
    assert {r["client_order_id"] for r in desks["a"].rows.values()} == {
        r["client_order_id"] for r in desks["b"].rows.values()
    }


def test_a_slow_broker_delays_nobody_and_its_wait_is_counted() -> None:
    gate = threading.Event()

    def slow(path: str, number: int) -> Answer | None:
        if path == "placeorder" and number == 0:
            gate.wait(5.0)
        return None

    slow_one, other = Desk(slow), Desk()
    run = run_of({"slow": slow_one, "other": other}, rounds=4, on_shot=lambda _: None)
    later: list[int] = []

    def on_shot(shot: sender.Shot) -> None:
        if shot.op == probe.PLACE and shot.instance == "slow" and shot.round == 3:
            later.append(shot.round)
            gate.set()

    run.on_shot = on_shot
    run.go()
    # the fourth place was sent and answered while the first still waited
    assert later == [3]
    first = next(s for s in run.shots if s.instance == "slow" and s.round == 0 and s.op == probe.PLACE)
    assert first.latency_s is not None
    assert 2.5 * PERIOD_S < first.latency_s < 4.0
    own = next(s for s in run.shots if s.instance == "slow" and s.round == 0 and s.op == probe.MODIFY)
    assert own.due_s >= (first.answered_s or 0.0)
    assert own.latency_s is not None
    assert own.latency_s < first.latency_s


def test_a_late_sender_flatters_nobody() -> None:
    shot = sender.Shot(0, "a", probe.PLACE, 1.0, 1.5, 2.0, sender.ACKNOWLEDGED)
    assert shot.latency_s == 1.0
    assert replace(shot, outcome=sender.REJECTED).latency_s is None


def test_lost_answers_are_followed_up_until_the_book_is_empty() -> None:
    def lost(path: str, number: int) -> Answer | None:
        if path == "placeorder" and number == 1:
            raise ConnectionError("no readable answer")
        if path == "cancelorder" and number == 0:
            return 504, {"code": "OUTCOME_UNKNOWN", "message": "nobody knows"}
        return None

    desk = Desk(lost)
    run = run_of({"a": desk})
    left = run.go()
    assert left.clean
    assert left.cancelled_late == 1
    assert outcomes(run, probe.PLACE).count(sender.LOST) == 1
    assert outcomes(run, probe.CANCEL).count(sender.LOST) == 1
    # no order id came: nothing of it was modified or cancelled blindly
    assert outcomes(run, probe.MODIFY).count(sender.NOT_SENT) == 1
    assert desk.calls.count("placeorder") == 4
    assert desk.working == []


def test_an_unknown_order_is_waited_for_then_cancelled() -> None:
    desk = Desk()
    desk.rows["B9"] = {
        "client_order_id": "cmp-t-0",
        "orderid": "B9",
        "status": "unknown",
        "filled": 0,
        "reason": "",
    }
    desk.unsure = 1
    left = tidy("a", desk, {"cmp-t-0"})
    assert left.clean
    assert left.cancelled_late == 1
    assert desk.working == []


def test_what_cannot_be_cancelled_or_has_traded_is_said() -> None:
    stuck = Desk(lambda path, number: (400, {"message": "not now"}) if path == "cancelorder" else None)
    stuck.post("placeorder", {"client_order_id": "cmp-t-0"})
    kept = stuck.rows["B0"]

    class Deaf(Desk):
        def standing(self) -> dict[str, Any]:
            raise ConnectionError("gone")

    held = {**kept, "orderid": "B1", "status": "complete", "filled": 1}
    filled = Desk()
    filled.rows["B1"] = held
    assert tidy("b", filled, {"cmp-t-0"}).filled == ("b: B1 traded 1",)
    assert tidy("b", filled, {"another run's"}).clean
    assert "gone" in tidy("c", Deaf(), set(), patience_s=0.0).open[0]
    stuck.rows["B0"]["status"] = "open"
    stuck.post = lambda path, fields: (400, {"message": "not now"})  # type: ignore[method-assign]
    assert tidy("a", stuck, set(), patience_s=0.0).open == ("a: B0 (not now)",)


def test_a_stop_sends_nothing_more_and_cleans_up() -> None:
    desks = {"a": Desk(), "b": Desk()}
    run = run_of(desks, rounds=60)
    run.on_shot = lambda shot: run.stop("interrupted") if shot.round == 1 else None
    began = time.monotonic()
    left = run.go()
    assert time.monotonic() - began < 60 * PERIOD_S / 2
    assert run.stopped == "interrupted"
    assert left.clean
    assert all(desk.calls.count("placeorder") < 10 for desk in desks.values())
    assert not any(desk.working for desk in desks.values())


def test_what_turns_up_on_the_other_side_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "WATCH_S", 0.05)
    desk = Desk()
    run = run_of({"a": desk}, rounds=60, may_go_on=lambda: "other side" if len(desk.calls) > 4 else "")
    assert run.go().clean
    assert run.stopped == "other side"
    assert desk.calls.count("placeorder") < 100
    assert desk.working == []


def test_a_broker_that_says_no_is_not_asked_a_hundred_times() -> None:
    no = (400, {"code": "PRICE_OUT_OF_RANGE", "message": "outside the circuit"})
    desk = Desk(lambda path, number: no if path == "modifyorder" or number > 2 else None)
    run = run_of({"a": desk}, rounds=60)
    assert run.go().clean
    assert run.stopped == "a refused 4 requests in a row: PRICE_OUT_OF_RANGE outside the circuit"
    assert len(desk.calls) < 40


def test_a_broken_watch_or_thread_still_cleans_up() -> None:
    desk = Desk(lambda path, number: {}["x"] if path == "modifyorder" else None)  # type: ignore[index]
    run = run_of({"a": desk})
    try:
        run.go()
    except KeyError:
        pass
    else:
        raise AssertionError("the failure of a thread was swallowed")
    assert run.left.clean
    assert desk.working == []


def test_orders_of_others_are_left_alone() -> None:
    desk = Desk()
    desk.foreign = [{"orderid": "X1", "probe": False}]
    assert tidy("a", desk, set()).clean
    assert desk.calls == []
