"""``POST /panic``: the block at once, the answer within two seconds, nothing said that is not so."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from brokers.errors import BrokerDown, OrderRejected
from gateway import panicfile
from gateway.panicfile import NAME, PanicFile, spoken
from tests.gateway.api.rig import SBIN, Rig, foreign_order, position, running, write_env
from tests.gateway.trading.desks import until

PROMISED_S = 2.0
SLACK_S = 3.0
"""A machine that is busy with other tests."""


def progress(rig: Rig):
    return rig.internal("GET", "panic").json


def test_entries_are_blocked_and_open_orders_cancelled(rig):
    ids = [rig.place().json["orderid"] for _ in range(3)]
    answer = rig.post("panic")
    assert answer.status_code == 200
    body = answer.json
    assert (body["status"], body["entries"], body["done"]) == ("success", "blocked", True)
    assert [(row["orderid"], row["state"]) for row in body["orders"]] == [(i, "cancelled") for i in ids]
    assert body["instances"]["dhan"]["cancelled"] == 3
    blocked = rig.place()
    assert (blocked.status_code, blocked.json["code"]) == (403, "ENTRIES_BLOCKED")
    assert rig.internal("GET", "status").json["desk"]["panic"]["counts"]["cancelled"] == 3
    assert rig.post("panic", resume=True).json["entries"] == "allowed"
    assert rig.place().status_code == 200


def test_more_than_a_window_of_orders_answers_in_time_and_goes_on(rig):
    rig.rest.book = {str(n): foreign_order(str(n)) for n in range(26)}
    began = time.monotonic()
    body = rig.post("panic").json
    took_s = time.monotonic() - began
    print(f"26 orders: answered in {took_s:.2f} s with {body['counts']}")
    assert took_s < PROMISED_S + SLACK_S
    assert (body["status"], body["done"]) == ("partial", False)
    states = [row["state"] for row in body["orders"]]
    assert len(states) == 26
    assert set(states) == {"cancelled", "going"}
    assert states.count("cancelled") >= 9
    assert "cancelling goes on" in body["message"]
    assert rig.place().json["code"] == "ENTRIES_BLOCKED"
    until(lambda: progress(rig)["done"])
    assert len(progress(rig)["cancelled"]) == rig.rest.calls.count("cancel") == 26


def test_a_failed_cancel_is_not_a_success(rig, monkeypatch):
    monkeypatch.setattr("gateway.trading.panic.LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("gateway.trading.panic.MOST_REFUSALS", 2)
    order_id = rig.place().json["orderid"]
    rig.rest.fail["cancel"] = [OrderRejected("frozen") for _ in range(9)]
    assert rig.post("panic").json["status"] == "partial"
    until(lambda: progress(rig)["done"])
    body = rig.internal("GET", "status").json["desk"]["panic"]
    assert body["orders"] == [
        {"orderid": order_id, "state": "failed", "code": "ORDER_REJECTED", "message": "frozen"}
    ]
    assert progress(rig)["failed"] == [{"what": order_id, "code": "ORDER_REJECTED", "message": "frozen"}]


def test_without_a_readable_book_the_block_holds_and_the_answer_says_so(rig):
    rig.rest.before = lambda call: (_ for _ in ()).throw(BrokerDown("no route")) if call == "orders" else None
    body = rig.post("panic").json
    assert (body["status"], body["done"], body["orders"]) == ("partial", False, [])
    assert "could not be read" in body["waiting"]
    assert rig.place().json["code"] == "ENTRIES_BLOCKED"


def test_it_needs_a_key_but_no_broker_session(tmp_path: Path):
    with running(tmp_path, logged_in=False, reconciled=False) as rig:
        assert rig.post("panic", apikey="wrong").status_code == 403
        assert PanicFile(rig.parts.settings.run_dir / NAME).read() is None
        body = rig.post("panic", policy="block").json
        assert body["entries"] == "blocked"
        assert PanicFile(rig.parts.settings.run_dir / NAME).read().active


def test_block_leaves_orders_and_close_closes_positions(rig):
    rig.place()
    assert rig.post("panic", policy="block").json["done"]
    assert rig.rest.calls.count("cancel") == 0
    rig.rest.position_rows = [position(SBIN, 10)]
    body = rig.post("panic", policy="close").json
    assert (body["counts"]["cancelled"], body["closed"]) == (1, 1)
    assert rig.rest.placed[-1][0].action == "SELL"


def test_other_instances_are_told_apart_as_done_going_and_silent(rig):
    home, run = rig.parts.settings.home, rig.parts.settings.run_dir
    for name in ("kotak", "third", "asleep"):
        write_env(home, name) if name == "kotak" else write_env(home, name, "BROKER=dhan")
    real = rig.parts.desk.guards.panic

    def called(reason, policy):
        """The two others run and look at the flag."""
        word = real(reason, policy)
        for name, finished in (("kotak", True), ("third", False)):
            counts = {"cancelled": 2, "going": 0 if finished else 4, "failed": 0, "ended": 0}
            report = {"serial": word.serial, "done": finished, "counts": counts, "waiting": ""}
            panicfile.write_whole(run / panicfile.FOLDER / f"{name}.json", json.dumps(report))
        return word

    rig.parts.desk.guards.panic = called
    began = time.monotonic()
    body = rig.post("panic").json
    assert time.monotonic() - began < PROMISED_S + SLACK_S
    others = body["instances"]
    assert [others["kotak"][name] for name in ("blocked", "done", "cancelled")] == [True, True, 2]
    assert (others["third"]["done"], others["third"]["going"]) == (False, 4)
    assert (others["asleep"]["blocked"], others["asleep"]["done"]) == (False, False)
    assert body["status"] == "partial"
    assert "Not heard from: asleep" in body["message"]


def test_the_word_of_the_command_line_is_taken_up_not_spoken_again(rig):
    order_id = rig.place().json["orderid"]
    file = PanicFile(rig.parts.settings.run_dir / NAME)
    word = spoken(True, reason="algo panic", by="algo")
    file.write(word)
    assert rig.place().json["code"] == "ENTRIES_BLOCKED"
    body = rig.internal("POST", "panic", {"reason": "algo panic", "serial": word.serial}).json
    assert (body["cancelled"], body["done"]) == ([order_id], True)
    assert file.read() == word
    file.write(replace(word, serial=word.serial + 1, active=False))
    assert rig.place().status_code == 200


@pytest.mark.parametrize(
    "body", [{"policy": "flatten"}, {"resume": "perhaps"}, {"reason": ""}, {"what": 1}], ids=str
)
def test_a_wrong_body_changes_nothing(quiet, body):
    answer = quiet.post("panic", **body)
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_REQUEST")
    assert quiet.parts.desk.status().blocked == ""
