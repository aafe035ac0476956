"""The 35 disagreements of OpenAlgo's docs, server and SDK: the side the contract takes, each held by a test.

A row is tested here, or names the test elsewhere that holds it.

Source: openalgo-api, section 8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokers.model import OrderStatus
from gateway.api.schemas import History
from tests.gateway.api.rig import FREE, ORDER, SBIN, Rig, foreign_order, position, running

TESTS = Path(__file__).parents[2]
ELSEWHERE: dict[int, tuple[str, str]] = {
    2: ("gateway/api/test_marketdata.py", "test_history_is_in_epoch_seconds_and_rounded"),
    4: ("gateway/api/test_options.py", "test_optionchain_prefers_the_embedded_expiry_and_needs_no_other"),
    9: ("gateway/api/test_account.py", "test_positions_are_numbers_and_closed_ones_stay"),
    11: (
        "gateway/api/test_orders.py",
        "test_order_status_has_both_spellings_and_an_average_as_soon_as_it_is_complete",
    ),
    13: ("gateway/api/test_options.py", "test_a_leg_may_have_its_own_expiry_and_pieces"),
    16: ("gateway/api/test_smart.py", "test_price_fields_carry_over_and_the_price_type_is_honoured"),
    17: ("e2e/test_sdk_all.py", "test_the_contradictions_about_analyze_mode"),
    19: ("gateway/api/test_contract.py", "test_a_bad_key_is_403_or_401_where_the_server_does"),
    20: ("gateway/api/test_options.py", "test_optionsymbol_prefers_the_expiry_sent_to_the_embedded_one"),
    21: ("gateway/stream/test_server.py", "test_the_default_mode_is_quote_and_aliases_are_understood"),
    22: ("gateway/stream/test_encode.py", "test_quote_carries_both_spellings_and_change"),
    23: ("gateway/stream/test_server.py", "test_subscribe_answers_the_combined_ack_and_ticks_follow"),
    24: (
        "gateway/stream/test_server.py",
        "test_a_wrong_key_answers_with_type_auth_and_the_socket_stays_open",
    ),
    27: ("gateway/api/test_calendar.py", "test_timings_are_epoch_milliseconds_of_ist_in_openalgos_order"),
    30: ("e2e/test_sdk_all.py", "test_the_contradictions_about_analyze_mode"),
    32: ("e2e/test_sdk_all.py", "test_the_contradictions_about_analyze_mode"),
    33: (
        "gateway/api/test_baskets.py",
        "test_buys_leave_before_sells_and_results_keep_the_order_of_the_request",
    ),
}
NOT_OFFERED = {25: "whatsapp answers 501", 26: "telegram answers 501"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.fixture
def rig(shared: Rig) -> Rig:
    shared.rest.book.clear()
    shared.rest.position_rows.clear()
    shared.rest.placed.clear()
    return shared


def test_every_row_is_held_by_a_test():
    here = {int(n) for name in globals() for n in re.findall(r"test_row_(\d+)_", name)}
    assert here | set(ELSEWHERE) | set(NOT_OFFERED) == set(range(1, 36))
    for file, name in ELSEWHERE.values():
        assert re.search(rf"def {name}\(", (TESTS / file).read_text()), f"{file} has lost {name}"


def test_row_01_a_429_has_the_documented_envelope(tmp_path):
    with running(tmp_path, rates=replace(FREE, api="1 per minute"), reconciled=False) as one:
        one.post("ping")
        answer = one.post("ping")
    assert answer.status_code == 429
    assert answer.json["status"] == "error"
    assert answer.json["message"] == "Rate limit exceeded. Please slow down your requests."
    assert 0 < answer.json["retry_after"] <= 60


def test_row_03_multiquotes_answers_results(rig):
    answer = rig.post("multiquotes", symbols=[{"symbol": "SBIN", "exchange": "NSE"}])
    assert answer.json["results"][0]["data"]["ltp"] == 801.5


def test_row_05_instruments_without_an_exchange_are_all(rig):
    query = {"apikey": rig.key}
    rows = rig.app.test_client().get("/api/v1/instruments", query_string=query).json["data"]
    assert {row["exchange"] for row in rows} == {"NSE", "NSE_INDEX", "NFO"}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("closeposition", {}),
        ("cancelallorder", {}),
        ("orderstatus", {"orderid": "1"}),
        ("openposition", {"symbol": "SBIN", "exchange": "NSE", "product": "MIS"}),
    ],
)
def test_row_06_strategy_is_optional_where_it_is_only_a_label(rig, path, fields):
    rig.rest.book["1"] = foreign_order("1")
    for extra in ({}, {"strategy": "x"}):
        answer = rig.post(path, **fields, **extra)
        assert answer.status_code == 200, answer.json


def test_row_07_openposition_is_a_number(rig):
    rig.rest.position_rows.append(position(SBIN, -10))
    answer = rig.post("openposition", symbol="SBIN", exchange="NSE", product="MIS")
    assert answer.json["quantity"] == -10
    assert type(answer.json["quantity"]) is int


def test_row_08_funds_are_strings(rig):
    found = rig.post("funds").json["data"]
    names = ("availablecash", "collateral", "m2mrealized", "m2munrealized", "utiliseddebits")
    assert {name: type(found[name]) for name in names} == dict.fromkeys(names, str)
    assert found["availablecash"] == "320.60"


def test_row_10_a_resting_stop_is_trigger_pending(rig):
    rig.rest.book["1"] = foreign_order("1", status=OrderStatus.TRIGGER_PENDING)
    assert rig.post("orderstatus", orderid="1").json["data"]["order_status"] == "trigger pending"


@pytest.mark.parametrize("field", ["target", "stoploss", "trailing_sl"])
@pytest.mark.parametrize(
    ("path", "extra"),
    [("placeorder", {}), ("placesmartorder", {"position_size": 1}), ("splitorder", {"splitsize": 1})],
)
def test_row_12_a_stop_we_do_not_keep_is_refused_and_nothing_is_sent(rig, path, extra, field):
    answer = rig.post(path, **ORDER, **extra, **{field: "5"})
    assert answer.status_code == 400
    assert answer.json["message"] == f"{{'{field}': ['Unknown field.']}}"
    assert rig.rest.placed == []


def test_row_14_ids_and_quantities_may_be_numbers_or_text(rig):
    for order_id in ("5", 5):
        rig.rest.book["5"] = foreign_order("5")
        assert rig.post("orderstatus", orderid=order_id).json["data"]["orderid"] == "5"
        assert rig.post("cancelorder", strategy="x", orderid=order_id).json["orderid"] == "5"
    for quantity in ("5", 5):
        assert rig.place(quantity=quantity).json["status"] == "success"
    leg = {k: v for k, v in ORDER.items() if k != "strategy"}
    statuses = {rig.post("margin", positions=[{**leg, "quantity": q}]).status_code for q in ("5", 5)}
    assert 400 not in statuses


def test_row_15_a_smart_exit_with_nothing_open_is_a_success_with_a_message(rig):
    answer = rig.post("placesmartorder", **{**ORDER, "symbol": "TCS", "quantity": 0, "position_size": 0})
    assert answer.status_code == 200
    assert answer.json == {
        "status": "success",
        "message": "No OpenPosition Found. Not placing Exit order.",
    }


def test_row_18_a_failed_cancellation_says_which_and_why_in_both_words(rig):
    rig.rest.book |= {"1": foreign_order("1"), "2": foreign_order("2")}
    gone = []

    def vanish(call: str) -> None:
        if call == "cancel" and not gone:
            gone.append(rig.rest.book.pop("2"))

    rig.rest.before = vanish
    try:
        answer = rig.post("cancelallorder").json
    finally:
        rig.rest.before = lambda call: None
    assert "1" in answer["canceled_orders"]
    [failed] = [row for row in answer["failed_cancellations"] if row["orderid"] == "2"]
    assert failed["message"] == failed["reason"] == "Order 2 not found"


@pytest.mark.parametrize("interval", ["Q", "Y"])
def test_row_28_quarters_and_years_pass_the_schema(interval):
    body: dict[str, Any] = {"apikey": "k", "symbol": "SBIN", "exchange": "NSE", "interval": interval}
    History().load({**body, "start_date": "2026-01-01", "end_date": "2026-11-20"})


@pytest.mark.parametrize("interval", ["4m", "2W", "7m", "1D"])
def test_row_29_other_intervals_are_refused(rig, interval):
    dates = {"start_date": "2026-01-01", "end_date": "2026-11-20"}
    answer = rig.post("history", symbol="SBIN", exchange="NSE", interval=interval, **dates)
    assert answer.status_code == 400
    assert answer.json["message"]["interval"][0].startswith("Must be one of: 1s, 5s")


def test_row_31_a_search_needs_no_exchange(rig):
    assert rig.post("search", query="SBIN").json["data"][0]["symbol"] == "SBIN"


@pytest.mark.parametrize("path", ["placeorder", "funds", "orderbook", "positionbook"])
def test_row_34_live_bodies_have_no_mode(rig, path):
    answer = rig.place() if path == "placeorder" else rig.post(path)
    assert answer.status_code == 200
    assert "mode" not in answer.json


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"", 400), (b"apikey=x", 400), (b'{"apikey": "%s"}', 200)],
    ids=["empty", "form", "json"],
)
def test_row_35_the_body_counts_not_its_content_type(rig, raw, status):
    body = raw.replace(b"%s", rig.key.encode())
    answer = rig.post("ping", raw=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == status


@pytest.mark.parametrize("path", ["telegram/notify", "whatsapp/notify"])
def test_messaging_is_not_offered_and_says_so(rig, path):
    answer = rig.post(path, username="x", message="y")
    assert (answer.status_code, answer.json["code"]) == (501, "NOT_SUPPORTED")
