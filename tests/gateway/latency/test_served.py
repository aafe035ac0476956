"""Stage times from a real order to the internal endpoints, the page and the browser's own figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from brokers.errors import OrderRejected, OutcomeUnknown, RateLimited
from brokers.model import OrderStatus, OrderUpdate
from gateway.latency import passive
from gateway.latency.histograms import Histogram
from tests.gateway.api.rig import ORDER, Rig, running
from tests.gateway.web.people import make_owner
from tests.gateway.web.test_pageapi import Page

PROBE = {"strategy": "compare", "client_order_id": "run7-1"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("timed"), timed=True) as one:
        make_owner(one)
        yield one


@pytest.fixture(scope="module")
def filled(rig: Rig) -> str:
    """One MARKET probe, modified, filled; one order cancelled; its id."""
    order_id = rig.post("placeorder", **{**ORDER, **PROBE}).json["orderid"]
    body = {**ORDER, "orderid": order_id, "quantity": 7, "disclosed_quantity": "0", "trigger_price": "0"}
    assert rig.post("modifyorder", **body).status_code == 200
    other = rig.place().json["orderid"]
    assert rig.post("cancelorder", strategy="t", orderid=other).status_code == 200
    tell(rig, order_id, OrderStatus.OPEN)
    tell(rig, order_id, OrderStatus.COMPLETE)
    tell(rig, other, OrderStatus.CANCELLED)
    return order_id


def tell(rig: Rig, order_id: str, status: OrderStatus) -> None:
    order = replace(rig.rest.book[order_id], status=status)
    if status is OrderStatus.COMPLETE:
        order = replace(order, filled_quantity=order.quantity, average_price=order.price)
    body = msgspec.to_builtins([OrderUpdate(order, seen_ns=time.time_ns())])
    assert rig.internal("POST", "order-update", body).status_code == 204


@pytest.fixture(scope="module")
def page(rig: Rig) -> Page:
    return Page(rig)


def test_each_request_of_an_order_has_its_stages_and_its_probe(rig, filled):
    found = rig.internal("GET", "latency?probes=1").json
    columns = found["columns"]
    assert (found["instance"], found["broker"], found["venue"], found["more"]) == (
        "dhan",
        "dhan",
        "sim",
        False,
    )
    assert columns["endpoint"] == ["place", "modify"]
    assert columns["probe"] == ["run7-1"] * 2
    stages = ("checked_ns", "journaled_ns", "sent_ns", "acknowledged_ns", "answered_ns")
    for at in range(2):
        passed = [columns[name][at] for name in stages]
        assert passed == sorted(passed)
        assert 0 < passed[0] < passed[-1] < 10**10
    assert 0 < columns["exchange_ns"][0] < columns["filled_ns"][0]
    assert columns["filled_ns"][1] is None


def test_a_cancel_has_the_time_until_it_was_gone(rig, filled):
    columns = rig.internal("GET", "latency?endpoint=cancel").json["columns"]
    assert len(columns["id"]) == 1
    assert 0 < columns["sent_ns"][0] < columns["acknowledged_ns"][0] < columns["cancelled_ns"][0]


def test_since_and_until_cut_and_what_is_no_time_is_refused(rig, filled):
    whole = rig.internal("GET", "latency").json["columns"]["at_ns"]
    cut_ms = whole[1] // 10**6 + 1
    first = rig.internal("GET", f"latency?until={cut_ms}").json["columns"]["at_ns"]
    rest = rig.internal("GET", f"latency?since={cut_ms}").json["columns"]["at_ns"]
    assert first + rest == whole
    assert first
    assert (
        rig.internal("GET", "latency?since=2020-01-01T00:00:00%2B05:30&until=0").json["columns"]["id"] == []
    )
    for wrong in ("since=yesterday", "since=2026-11-20T10:00", "endpoint=%27--"):
        assert rig.internal("GET", f"latency?{wrong}").status_code == 400
    assert rig.app.test_client().get("/internal/latency").status_code == 403


def test_ends_are_counted_where_they_happen_and_read_from_the_file_too(rig, filled):
    before = rig.internal("GET", "comparison").json["requests"]["place"]
    rig.rest.fail["place"] = [
        OrderRejected("no"),
        RateLimited("slow", retry_after_s=1),
        OutcomeUnknown("late"),
    ]
    for _ in range(3):
        rig.place()
    found = rig.internal("GET", "comparison").json
    after = found["requests"]["place"]
    grown = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert grown == {"sent": 3, "rejected": 1, "limited": 1, "lost": 1, "unknown": 1}
    assert found["errors"]["ORDER_REJECTED"] == found["errors"]["RATE_LIMITED"] == 1
    assert Histogram.decode(found["stages"]["place"]["acknowledge"]["hdr"].encode()).n == 2
    path = rig.parts.settings.databases.latency
    day = found["days"][0]
    assert passive.comparison(path, day, found["days"][-1])["requests"] == found["requests"]


def test_the_page_shows_the_day_one_stage_and_the_slowest(rig, page, filled):
    text = page.client.get("/latency").get_data(as_text=True)
    assert "<td>place</td><td>acknowledge</td>" in text
    found = page.ask("GET", "latency").json
    assert [(r["endpoint"], r["stage"]) for r in found["stages"]][:3] == [
        ("place", "check"),
        ("place", "journal"),
        ("place", "send"),
    ]
    stage = page.ask("GET", "latency/place/total").json
    counted = sum(bar["count"] for bar in stage["histogram"])
    assert counted == sum(bin_["n"] for bin_ in stage["series"]) == len(stage["slowest"]) >= 2
    took = [row["took_ms"] for row in stage["slowest"]]
    assert took == sorted(took, reverse=True)
    of_order = page.ask("GET", f"latency/order/{filled}").json["requests"]
    assert [row["endpoint"] for row in of_order] == ["place", "modify"]
    for wrong in ("latency/place/nothing", "latency/browser/total", "latency?day=today"):
        assert page.ask("GET", wrong).status_code == 400


def timings(page: Page, *given: tuple[str, str, float]):
    rows = [{"orderid": order, "kind": kind, "ms": ms} for order, kind, ms in given]
    return page.ask("POST", "timings", {"timings": rows})


def test_figures_of_a_page_count_for_our_own_orders_once(rig, page, filled):
    answer = timings(
        page, (filled, "click_drawn", 41.5), (filled, "click_drawn", 1.0), ("999", "click_drawn", 1)
    )
    assert answer.json == {"status": "success", "kept": 2, "dropped": 1}
    shown = [row for row in page.ask("GET", "latency").json["stages"] if row["endpoint"] == "browser"]
    assert [(row["stage"], row["n"], round(row["p50_ms"], 1)) for row in shown] == [("click_drawn", 1, 41.5)]


WRONG = [
    ("kind", [("1", "acknowledge", 1.0)]),
    ("longer than a minute", [("1", "click_drawn", 60_001)]),
    ("negative", [("1", "click_drawn", -1)]),
    ("id", [("1" * 65, "click_drawn", 1)]),
    ("none", []),
    ("too many", [("1", "click_drawn", 1)] * 51),
]


@pytest.mark.parametrize("rows", [rows for _, rows in WRONG], ids=[name for name, _ in WRONG])
def test_a_malformed_figure_is_refused_whole(page, rows):
    assert timings(page, *rows).status_code == 400


def test_figures_need_the_session_and_the_token_of_the_page(rig, page, filled):
    body = {"timings": [{"orderid": filled, "kind": "cancel_gone", "ms": 5}]}
    assert rig.app.test_client().post("/web/api/timings", json=body).status_code == 401
    assert page.client.post("/web/api/timings", json=body).status_code == 403


def test_without_a_file_orders_go_on_and_the_page_says_so(tmp_path: Path):
    (tmp_path / "db" / "sim").mkdir(parents=True)
    (tmp_path / "db" / "sim" / "latency_dhan.db").write_bytes(b"SQLite format 3\x00 of somebody else" * 40)
    with running(tmp_path, timed=True) as one:
        assert one.place().status_code == 200
        answer = one.internal("GET", "latency")
        assert (answer.status_code, answer.json["code"]) == (501, "NOT_SUPPORTED")
