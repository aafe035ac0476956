"""The four GTT endpoints: OpenAlgo's fields and answers, refusals by name, who keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.api import answers
from gateway.api.gtt import request_of
from gateway.api.gtt_schemas import PlaceGtt, end_of
from gateway.triggers.parts import GttAnswer
from tests.gateway.api.rig import GTT, Rig, running

SINGLE = {k: v for k, v in GTT.items() if k not in ("stoploss", "target", "triggerprice_tg")} | {
    "trigger_type": "SINGLE",
    "price": "699.5",
    "triggerprice_sl": "700",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.fixture
def api(shared: Rig) -> Iterator[Rig]:
    yield shared
    for row in shared.post("gttorderbook").json["data"]:
        shared.post("cancelgttorder", strategy="", trigger_id=row["trigger_id"])


def place(api: Rig, **changes: Any) -> Any:
    return api.post("placegttorder", **{**SINGLE, **changes})


def test_a_single_is_kept_and_shown_in_openalgos_words(api: Rig) -> None:
    answer = place(api)
    assert answer.status_code == 200, answer.json
    trigger_id = answer.json["trigger_id"]
    assert (answer.json["status"], answer.json["kept_by"]) == ("success", "gateway")
    assert "this gateway keeps it" in answer.json["message"]
    (row,) = api.post("gttorderbook").json["data"]
    assert row | {"created_at": "", "expires_at": ""} == {
        "trigger_id": trigger_id,
        "trigger_type": "single",
        "status": "active",
        "exchange": "NSE",
        "symbol": "SBIN",
        "trigger_prices": [700.0],
        "last_price": 801.5,
        "legs": [
            {"action": "SELL", "quantity": 5, "price": 699.5, "pricetype": "LIMIT", "product": "CNC"},
        ],
        "created_at": "",
        "updated_at": "",
        "expires_at": "",
        "strategy": "t",
        "kept_by": "gateway",
        "orderid": "",
        "code": "",
        "reason": "",
    }
    assert len(row["created_at"]) == len("2026-11-20 10:00:00")


def test_an_oco_has_two_legs_the_stop_first(api: Rig) -> None:
    answer = api.post("placegttorder", **{**GTT, "trigger_type": "oco", "stoploss": "699.5"})
    assert answer.status_code == 200, answer.json
    (row,) = api.post("gttorderbook").json["data"]
    assert (row["trigger_type"], row["trigger_prices"]) == ("two-leg", [700.0, 900.0])
    assert [leg["price"] for leg in row["legs"]] == [699.5, 901.0]


@pytest.mark.parametrize(
    ("triggers", "legs"),
    [
        ({"triggerprice_sl": 700}, [(700, Decimal("699.5"), False)]),
        ({"triggerprice_sl": 0, "triggerprice_tg": 900}, [(900, Decimal("699.5"), True)]),
        ({"triggerprice_sl": "", "triggerprice_tg": "900"}, [(900, Decimal("699.5"), True)]),
        (
            {
                "trigger_type": "OCO",
                "triggerprice_sl": 700,
                "stoploss": 1,
                "triggerprice_tg": 900,
                "target": 2,
            },
            [(700, 1, False), (900, 2, True)],
        ),
    ],
)
def test_a_stop_fires_on_the_fall_and_a_target_on_the_rise(triggers: dict[str, Any], legs: list) -> None:
    request = request_of(PlaceGtt().load(SINGLE | triggers | {"apikey": "k"}))
    assert [(leg.trigger_price, leg.price, leg.rises) for leg in request.legs] == legs


def test_modify_replaces_and_cancel_ends(api: Rig) -> None:
    trigger_id = place(api).json["trigger_id"]
    change = SINGLE | {"trigger_id": trigger_id, "triggerprice_sl": 690, "price": 689, "quantity": 7}
    done = api.post("modifygttorder", **change)
    assert (done.status_code, done.json["trigger_id"]) == (200, trigger_id)
    Draft202012Validator(answers.GTT_DONE).validate(done.json)
    (row,) = api.post("gttorderbook").json["data"]
    assert (row["trigger_prices"], row["legs"][0]["quantity"]) == ([690.0], 7)
    assert row["updated_at"]
    gone = api.post("cancelgttorder", strategy="t", trigger_id=trigger_id)
    assert (gone.status_code, gone.json["trigger_id"]) == (200, trigger_id)
    Draft202012Validator(answers.GTT_DONE).validate(gone.json)
    assert api.post("gttorderbook").json["data"] == []
    everything = api.post("gttorderbook", status="all").json["data"]
    assert [r["status"] for r in everything if r["trigger_id"] == trigger_id] == ["cancelled"]
    late = api.post("cancelgttorder", strategy="t", trigger_id=trigger_id)
    assert (late.status_code, late.json["code"], late.json["gtt_status"]) == (
        400,
        "ORDER_NOT_OPEN",
        "cancelled",
    )


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"product": "MIS"}, "product", "Must be one of: CNC, NRML."),
        ({"pricetype": "SL"}, "pricetype", "Must be one of: LIMIT, MARKET."),
        ({"trigger_type": "TWO"}, "trigger_type", "Must be one of: SINGLE, OCO."),
        ({"action": "Buy"}, "action", "Must be one of: BUY, SELL, buy, sell."),
        ({"quantity": 0}, "quantity", "Quantity must be a positive number."),
        ({"price": -1}, "price", "Price must be a non-negative number."),
        ({"price": None}, "price", "Field may not be null."),
        (
            {"quantity": 1.5},
            "quantity",
            "Fractional quantity (1.5) is not allowed for non-crypto exchanges.",
        ),
        ({"triggerprice_sl": "x"}, "triggerprice_sl", "Not a valid number."),
        ({"triggerprice_sl": ""}, "triggerprice_sl", "SINGLE needs exactly one"),
        ({"triggerprice_tg": 900}, "triggerprice_sl", "SINGLE needs exactly one"),
        ({"trigger_type": "OCO"}, "triggerprice_tg", "OCO needs it, above 0."),
        ({"trigger_type": "OCO", "triggerprice_tg": 900, "stoploss": 1}, "target", "OCO needs it, above 0."),
        (
            {"trigger_type": "OCO", "triggerprice_tg": 700, "stoploss": 1, "target": 1},
            "triggerprice_sl",
            "triggerprice_sl must be below triggerprice_tg.",
        ),
        ({"expires_at": "tomorrow"}, "expires_at", "Not a valid datetime."),
    ],
)
def test_bad_fields_are_named_in_the_text_of_a_dictionary(
    api: Rig, change: dict[str, Any], field: str, message: str
) -> None:
    answer = place(api, **change)
    assert answer.status_code == 400
    assert answer.json["code"] == "INVALID_REQUEST"
    assert isinstance(answer.json["message"], str)
    found = eval(answer.json["message"])  # that is how clients read it
    assert any(text.startswith(message) for text in found[field]), found


@pytest.mark.parametrize("name", ["strategy", "trigger_type", "symbol", "action", "product", "price"])
def test_missing_fields_are_named(api: Rig, name: str) -> None:
    answer = api.post("placegttorder", **{k: v for k, v in SINGLE.items() if k != name})
    assert eval(answer.json["message"])[name] == ["Missing data for required field."]


def test_unknown_fields_are_dropped_when_placing_and_refused_when_cancelling(api: Rig) -> None:
    assert place(api, colour="red").status_code == 200
    refused = api.post("cancelgttorder", strategy="", trigger_id="1", colour="red")
    assert eval(refused.json["message"]) == {"colour": ["Unknown field."]}


def test_a_trigger_on_the_wrong_side_says_where_the_price_is(api: Rig) -> None:
    answer = place(api, triggerprice_sl=802)
    assert (answer.status_code, answer.json["code"]) == (400, "INVALID_TRIGGER")
    assert "expected below the last price 801.5" in answer.json["message"]


@pytest.mark.parametrize("trigger_id", ["G99999999999999999999", "G٣", "G", "G-1", "x" * 64])
def test_ids_nobody_gave_are_404(api: Rig, trigger_id: str) -> None:
    assert api.post("cancelgttorder", strategy="t", trigger_id=trigger_id).status_code == 404


def test_an_unknown_trigger_is_404(api: Rig) -> None:
    answer = api.post("cancelgttorder", strategy="t", trigger_id=4711)
    assert (answer.status_code, answer.json["message"]) == (404, "GTT 4711 not found")


def test_the_same_id_places_one(api: Rig) -> None:
    first = place(api, client_order_id="one")
    again = api.post("placegttorder", headers={"Idempotency-Key": "one"}, **SINGLE)
    assert again.json["trigger_id"] == first.json["trigger_id"]
    assert again.json["repeated"] is True
    assert len(api.post("gttorderbook").json["data"]) == 1


def test_an_end_is_kept_and_shown(api: Rig) -> None:
    assert place(api, expires_at="2099-11-20").status_code == 200
    (row,) = api.post("gttorderbook").json["data"]
    assert row["expires_at"] == "2099-11-20 23:59:59"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("2026-11-20", 1_795_199_399),
        ("2026-11-20 15:00:00", 1_795_167_000),
        ("2026-11-20T15:00:00", 1_795_167_000),
        ("2026-11-20T09:30:00+00:00", 1_795_167_000),
        ("2026-11-20T00:00:00", 1_795_113_000),
        ("9999-12-31T23:59:59-12:00", 7_258_118_400),
        ("0001-01-01", 0),
        ("", None),
        (None, None),
    ],
)
def test_ends_are_ist_unless_they_say_otherwise(given: str | None, seconds: int | None) -> None:
    assert end_of(given) == (None if seconds is None else seconds * 1_000_000_000)


def test_where_nobody_keeps_them_it_is_501(api: Rig) -> None:
    object.__setattr__(api.parts, "analyzing", lambda: True)
    try:
        assert place(api).status_code == 501
        object.__setattr__(api.parts, "paper_gtt", api.parts.gtt)
        assert place(api).json["mode"] == "analyze"
    finally:
        object.__setattr__(api.parts, "analyzing", lambda: False)
        object.__setattr__(api.parts, "paper_gtt", None)


def test_a_lost_answer_is_504_with_the_id_to_ask_by(api: Rig) -> None:
    lost = GttAnswer("G7", api.parts.gtt.kept_by, "unknown", "OUTCOME_UNKNOWN", "lost", repeated=True)

    class Losing:
        def place(self, *_: Any, **__: Any) -> GttAnswer:
            return replace(lost)

    ours = api.parts.gtt
    object.__setattr__(api.parts, "gtt", Losing())
    try:
        answer = place(api)
    finally:
        object.__setattr__(api.parts, "gtt", ours)
    assert (answer.status_code, answer.json["code"]) == (504, "OUTCOME_UNKNOWN")
    assert (answer.json["trigger_id"], answer.json["repeated"]) == ("G7", True)
    assert "Do not send it again" in answer.json["next_step"]


def test_the_feed_is_told_what_to_subscribe(api: Rig) -> None:
    assert place(api, symbol="TCS").status_code == 200
    keys = api.internal("GET", "positions-and-orders").json["keys"]
    assert {"exchange": "NSE", "symbol": "TCS"} in keys
