"""Requests as callers really send them, and OpenAlgo's messages word for word in each of its styles."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from marshmallow import ValidationError

from gateway.api import errors
from gateway.api.schemas import History, ManySymbols, ModifyOrder, PlaceOrder
from tests.gateway.api.rig import ORDER, Rig, running


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        yield one


def refused(**changes: object) -> object:
    body = {"apikey": "k", **ORDER, **changes}
    body = {name: value for name, value in body.items() if value is not ...}
    with pytest.raises(ValidationError) as caught:
        PlaceOrder().load(body)
    return caught.value.messages


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"symbol": ...}, {"symbol": ["Missing data for required field."]}),
        ({"symbol": None}, {"symbol": ["Field may not be null."]}),
        ({"symbol": 5}, {"symbol": ["Not a valid string."]}),
        ({"stoploss": "1"}, {"stoploss": ["Unknown field."]}),
        ({"trailing_sl": 1, "target": 2}, {"trailing_sl": ["Unknown field."], "target": ["Unknown field."]}),
        ({"quantity": "abc"}, {"quantity": ["Not a valid number."]}),
        ({"quantity": 0}, {"quantity": ["Quantity must be a positive number."]}),
        ({"quantity": "-5"}, {"quantity": ["Quantity must be a positive number."]}),
        ({"quantity": True}, {"quantity": ["Not a valid number."]}),
        ({"quantity": Decimal("1e999999")}, {"quantity": ["Not a valid number."]}),
        (
            {"quantity": "1.5"},
            {"quantity": ["Fractional quantity (1.5) is not allowed for non-crypto exchanges."]},
        ),
        ({"quantity": "9.9e999999999999999999"}, {"quantity": ["Not a valid number."]}),
        ({"price": "-9e999999999999999999"}, {"price": ["Not a valid number."]}),
        ({"price": ""}, {"price": ["Not a valid number."]}),
        ({"price": "-1"}, {"price": ["Price must be a non-negative number."]}),
        ({"price": "Infinity"}, {"price": ["Special numeric values (nan or infinity) are not permitted."]}),
        ({"disclosed_quantity": "0.0"}, {"disclosed_quantity": ["Not a valid integer."]}),
        ({"disclosed_quantity": "9" * 30}, {"disclosed_quantity": ["Not a valid integer."]}),
        ({"action": "Buy"}, {"action": ["Must be one of: BUY, SELL, buy, sell."]}),
        ({"product": "BO"}, {"product": ["Must be one of: MIS, NRML, CNC."]}),
        ({"pricetype": "SLM"}, {"pricetype": ["Must be one of: MARKET, LIMIT, SL, SL-M."]}),
        (
            {"exchange": "XYZ"},
            {
                "exchange": [
                    "Must be one of: NSE, NFO, CDS, BSE, BFO, BCD, MCX, NCDEX, NCO, NSE_INDEX, BSE_INDEX, "
                    "MCX_INDEX, GLOBAL_INDEX, CRYPTO."
                ]
            },
        ),
        ({"apikey": ""}, {"apikey": ["Length must be between 1 and 256."]}),
    ],
)
def test_a_bad_order_names_the_field_in_openalgos_words(changes, messages):
    assert refused(**changes) == messages


@pytest.mark.parametrize(
    ("given", "quantity"), [("5", 5), (5, 5), ("1.0", 1), (Decimal("2.0"), 2), ("1e2", 100)]
)
def test_a_quantity_may_be_text_or_a_number(given, quantity):
    loaded = PlaceOrder().load({"apikey": "k", **ORDER, "quantity": given})
    assert loaded["quantity"] == quantity


def test_a_price_keeps_the_text_it_came_as():
    loaded = PlaceOrder().load({"apikey": "k", **ORDER, "price": "150000.15"})
    assert str(loaded["price"]) == "150000.15"


def test_an_order_has_openalgos_defaults():
    body = {name: ORDER[name] for name in ("strategy", "symbol", "exchange", "action", "quantity")}
    loaded = PlaceOrder().load({"apikey": "k", **body})
    assert (loaded["pricetype"], loaded["product"]) == ("MARKET", "MIS")
    assert loaded["price"] == loaded["trigger_price"] == loaded["disclosed_quantity"] == 0


def test_modify_wants_every_field_and_takes_the_id_as_a_number():
    full = {
        "apikey": "k",
        **ORDER,
        "orderid": 261120000000017,
        "disclosed_quantity": "0",
        "trigger_price": "0",
    }
    assert ModifyOrder().load(full)["orderid"] == "261120000000017"
    for name in full:
        with pytest.raises(ValidationError) as caught:
            ModifyOrder().load({key: value for key, value in full.items() if key != name})
        assert caught.value.messages == {name: ["Missing data for required field."]}


def test_history_dates_are_days_in_order():
    body = {"apikey": "k", "symbol": "SBIN", "exchange": "NSE", "interval": "5m"}
    with pytest.raises(ValidationError) as caught:
        History().load({**body, "start_date": "20-11-2026", "end_date": "2026-11-20"})
    assert caught.value.messages == {"start_date": ["Not a valid date."]}
    with pytest.raises(ValidationError, match="must not be after"):
        History().load({**body, "start_date": "2026-11-21", "end_date": "2026-11-20"})


def test_lists_are_keyed_by_index():
    with pytest.raises(ValidationError) as caught:
        ManySymbols().load({"apikey": "k", "symbols": [{"symbol": "SBIN"}]})
    assert caught.value.messages == {"symbols": {0: {"exchange": ["Missing data for required field."]}}}


def test_the_four_styles():
    messages = {"orders": {0: {"exchange": ["Missing data for required field."]}}}
    assert errors.invalid_fields(messages, "V1").message == (
        "{'orders': {0: {'exchange': ['Missing data for required field.']}}}"
    )
    assert errors.invalid_fields(messages, "V2").message == messages
    for style, words in (("V3", "Validation error"), ("V4", "Validation failed")):
        found = errors.invalid_fields(messages, style)
        assert (found.message, found.extra) == (words, {"errors": messages})


def test_v1_over_http_is_the_text_of_a_python_dict(rig):
    answer = rig.place(quantity="-1")
    assert answer.status_code == 400
    assert answer.json["message"] == "{'quantity': ['Quantity must be a positive number.']}"
    assert answer.json["code"] == "INVALID_REQUEST"


def test_v2_over_http_is_an_object(rig):
    answer = rig.post("quotes", exchange="NSE")
    assert answer.status_code == 400
    assert answer.json["message"] == {"symbol": ["Missing data for required field."]}
    nested = rig.post("multiquotes", symbols=[{"symbol": "SBIN"}])
    assert nested.json["message"] == {"symbols": {"0": {"exchange": ["Missing data for required field."]}}}


def test_an_absent_query_parameter_reads_as_null(rig):
    answer = rig.app.test_client().get("/api/v1/instruments")
    assert answer.status_code == 400
    assert answer.json["message"] == {"apikey": ["Field may not be null."]}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"apikey=x", b"{'a': 1}", b"\xff\xfe", b"[" * 100_000, b'{"price": NaN}']
)
def test_what_is_not_json_is_a_400(rig, raw):
    answer = rig.post("placeorder", raw=raw)
    assert answer.status_code == 400
    assert answer.json["message"].startswith("Request body ")


@pytest.mark.parametrize("raw", [b"[]", b'"text"', b"5", b"null"])
def test_json_that_is_no_object_is_an_invalid_input_type(rig, raw):
    answer = rig.post("ping", raw=raw)
    assert answer.status_code == 400
    assert answer.json["message"] == {"_schema": ["Invalid input type."]}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_json_is_read_whatever_its_content_type(rig, content_type):
    body = f'{{"apikey": "{rig.key}"}}'.encode()
    answer = rig.post("ping", raw=body, headers={"Content-Type": content_type})
    assert answer.status_code == 200


def test_a_body_over_the_limit_is_a_413(rig):
    answer = rig.post("placeorder", raw=b'{"apikey": "' + b"x" * 1_100_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json["code"] == "TOO_LARGE"
