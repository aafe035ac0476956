"""Option services and option orders over the real store, market and desk; only the broker is scripted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from brokers.errors import OrderRejected
from brokers.model import Action, InstrumentKey
from gateway.options import strikes
from tests.gateway.api.optionrig import FORWARD, LADDER, NIFTY, SIGMA, SPOT, Options, options
from tests.gateway.api.rig import running


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Options]:
    with options(tmp_path_factory.mktemp("home")) as one:
        yield one


@pytest.fixture
def some(kept: Options) -> Options:
    kept.reset()
    return kept


def about(some: Options, **changes):
    return {
        "underlying": "NIFTY",
        "exchange": "NSE_INDEX",
        "expiry_date": strikes.compact(some.near),
    } | changes


def choice(some: Options, **changes):
    return about(some, offset="ATM", option_type="CE") | changes


def sent(some: Options) -> list[tuple[str, str, int]]:
    return [(o.key.symbol, o.action.value, o.quantity) for o in some.placed]


# -- optionsymbol ---------------------------------------------------------------------------------------


def test_optionsymbol_answers_flat(some):
    answer = some.rig.post("optionsymbol", **choice(some))
    assert answer.status_code == 200
    assert answer.json == {
        "status": "success",
        "symbol": some.symbol(26000, "CE"),
        "exchange": "NFO",
        "lotsize": 65,
        "tick_size": 0.05,
        "freeze_qty": 1800,
        "underlying_ltp": SPOT,
    }


@pytest.mark.parametrize(
    ("changes", "strike", "kind"),
    [
        ({"offset": "OTM2"}, 26100, "CE"),
        ({"offset": "OTM3"}, 26200, "CE"),
        ({"offset": "ITM1", "option_type": "pe"}, 26050, "PE"),
        ({"exchange": "NFO"}, 26000, "CE"),
        ({"strike_int": "100", "offset": "OTM1"}, 26100, "CE"),
        ({"strategy": "any"}, 26000, "CE"),
    ],
)
def test_optionsymbol_counts_listed_strikes(some, changes, strike, kind):
    assert some.rig.post("optionsymbol", **choice(some, **changes)).json["symbol"] == some.symbol(
        strike, kind
    )


def test_optionsymbol_prefers_the_expiry_sent_to_the_embedded_one(some):
    named = f"NIFTY{strikes.compact(some.far)}FUT"
    both = some.rig.post("optionsymbol", **choice(some, underlying=named))
    assert both.json["symbol"] == some.symbol(26000, "CE")
    body = choice(some, underlying=named)
    del body["expiry_date"]
    assert some.rig.post("optionsymbol", **body).json["symbol"] == some.symbol(26000, "CE", some.far)


def test_optionsymbol_without_any_expiry_is_400(some):
    body = choice(some)
    del body["expiry_date"]
    answer = some.rig.post("optionsymbol", **body)
    assert answer.status_code == 400
    assert "Expiry date is required" in answer.json["message"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"underlying": "NOSUCH"}, 404, "SYMBOL_NOT_FOUND"),
        ({"underlying": "NIFTY", "exchange": "NSE"}, 404, "SYMBOL_NOT_FOUND"),
        ({"expiry_date": "28MAR24"}, 404, "SYMBOL_NOT_FOUND"),
        ({"strike_int": 1000, "offset": "OTM9"}, 404, "SYMBOL_NOT_FOUND"),
        ({"underlying": "SBIN", "exchange": "NSE"}, 404, "SYMBOL_NOT_FOUND"),
        ({"offset": "OTM40"}, 400, "OUT_OF_LADDER"),
        ({"exchange": "GLOBAL_INDEX"}, 400, "INVALID_EXCHANGE"),
        ({"exchange": "MCX", "underlying": "CRUDEOIL"}, 404, "SYMBOL_NOT_FOUND"),
    ],
)
@pytest.mark.parametrize("path", ["optionsymbol", "optionsorder"])
def test_what_is_not_there_is_404_and_out_of_range_400(some, path, changes, status, code):
    order = {"strategy": "t", "action": "BUY", "quantity": 65} if path == "optionsorder" else {}
    answer = some.rig.post(path, **choice(some, **changes), **order)
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.json
    assert some.placed == []


def test_an_unknown_expiry_names_the_listed_ones(some):
    answer = some.rig.post("optionsymbol", **choice(some, expiry_date="28MAR24"))
    assert answer.json["expiries"] == [strikes.compact(some.near), strikes.compact(some.far)]


@pytest.mark.parametrize(
    ("path", "changes", "style", "field"),
    [
        ("optionsymbol", {"offset": "OTM51"}, "Validation error", "offset"),
        ("optionsymbol", {"option_type": "Ce"}, "Validation error", "option_type"),
        ("optionsymbol", {"expiry_date": "2026-11-24"}, "Validation error", "expiry_date"),
        ("optionsymbol", {"extra": 1}, "Validation error", "extra"),
        ("optionchain", {"strike_count": 101}, "Validation error", "strike_count"),
        ("optionchain", {"interest_rate": 101}, "Validation error", "interest_rate"),
        ("syntheticfuture", {"expiry_date": None}, "Validation error", "expiry_date"),
        ("optiongreeks", {"exchange": "NSE"}, "Validation failed", "exchange"),
        ("optiongreeks", {"expiry_time": "25:00"}, "Validation failed", "expiry_time"),
        ("multioptiongreeks", {"symbols": []}, "Validation failed", "symbols"),
    ],
)
def test_bad_fields_come_in_the_style_of_the_endpoint(some, path, changes, style, field):
    base = {
        "optionsymbol": choice(some),
        "optionchain": about(some),
        "syntheticfuture": about(some),
        "optiongreeks": {"symbol": "X", "exchange": "NFO"},
        "multioptiongreeks": {},
    }[path]
    answer = some.rig.post(path, **(base | changes))
    assert (answer.status_code, answer.json["message"]) == (400, style)
    assert field in answer.json["errors"]


def test_without_a_price_of_the_underlying_nothing_is_guessed(some):
    some.prices[NIFTY] = 0.0
    for path, body in (("optionsymbol", choice(some)), ("optionchain", about(some))):
        answer = some.rig.post(path, **body)
        assert (answer.status_code, answer.json["code"]) == (400, "NO_DATA")


def test_without_a_table_nothing_is_called_unknown(tmp_path):
    with running(tmp_path, loaded=False, reconciled=False) as rig:
        body = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": "28MAR30"}
        answer = rig.post("optionchain", **body)
        assert (answer.status_code, answer.json["code"]) == (503, "NOT_READY")


# -- optionchain ----------------------------------------------------------------------------------------


def test_optionchain_has_every_strike_once_with_one_quote_call(some):
    answer = some.rig.post("optionchain", **about(some)).json
    assert [row["strike"] for row in answer["chain"]] == [float(strike) for strike in LADDER]
    assert (answer["underlying_symbol"], answer["underlying_exchange"]) == ("NIFTY", "NSE_INDEX")
    assert (answer["atm_strike"], answer["underlying_ltp"]) == (26000.0, SPOT)
    assert answer["underlying_prev_close"] == round(SPOT - 1, 2)
    assert answer["expiry_date"] == strikes.compact(some.near)
    assert answer["expiry_ts"] == int(strikes.ends_at(some.near, "NFO").timestamp())
    assert 0 < answer["expiry_ts"] - answer["server_ts"] < timedelta(days=8).total_seconds()
    assert (answer["quotes_included"], answer["greeks_included"], answer["forward_price"]) == (
        True,
        False,
        None,
    )
    assert len(some.rig.rest.quote_calls) == 1
    labels = {row["strike"]: (row["ce"]["label"], row["pe"]["label"]) for row in answer["chain"]}
    assert labels[26000.0] == ("ATM", "ATM")
    assert labels[25950.0] == ("ITM1", "OTM1")
    assert labels[26100.0] == ("OTM2", "ITM2")


def test_optionchain_is_cut_each_side(some):
    rows = some.rig.post("optionchain", **about(some, strike_count="1")).json["chain"]
    assert [row["strike"] for row in rows] == [25950.0, 26000.0, 26050.0]


def test_optionchain_asks_only_for_the_window_when_the_broker_takes_few_at_once(some, monkeypatch):
    spec = some.rig.parts.settings.spec
    small = type("Few", (), {"capabilities": type("C", (), {"quote_batch": 5})})
    monkeypatch.setattr(type(some.rig.parts.settings), "spec", property(lambda _: small))
    assert spec is not small
    rows = some.rig.post("optionchain", **about(some, strike_count=1)).json["chain"]
    assert len(rows) == 3
    assert sorted(map(len, some.rig.rest.quote_calls)) == [1, 6]


def test_optionchain_with_greeks_recovers_the_volatility(some):
    answer = some.rig.post("optionchain", **about(some, with_greeks=True)).json
    assert answer["greeks_included"] is True
    assert answer["forward_price"] == pytest.approx(FORWARD, abs=0.01)
    for row in answer["chain"]:
        for kind in ("ce", "pe"):
            assert row[kind]["implied_volatility"] == pytest.approx(SIGMA * 100, abs=0.02), row
        assert row["ce"]["delta"] - row["pe"]["delta"] == pytest.approx(1, abs=2e-3)
        assert row["ce"]["theta"] < 0 < row["ce"]["gamma"]


def test_optionchain_keeps_unpriced_legs_without_greeks(some):
    some.rig.rest.no_quote.add(some.key(26000, "PE"))
    answer = some.rig.post("optionchain", **about(some, with_greeks=True)).json
    row = next(row for row in answer["chain"] if row["strike"] == 26000.0)
    assert row["pe"]["ltp"] == 0.0
    assert "delta" not in row["pe"]
    assert "delta" in row["ce"]
    assert answer["forward_price"] == SPOT


def test_optionchain_prefers_the_embedded_expiry_and_needs_no_other(some):
    named = f"NIFTY{strikes.compact(some.far)}"
    body = about(some, underlying=named)
    assert some.rig.post("optionchain", **body).json["expiry_date"] == strikes.compact(some.far)
    del body["expiry_date"]
    assert some.rig.post("optionchain", **body).json["expiry_date"] == strikes.compact(some.far)
    assert some.rig.post("optionchain", underlying="NIFTY", exchange="NFO").status_code == 400


# -- syntheticfuture and greeks -------------------------------------------------------------------------


def test_syntheticfuture_is_strike_plus_call_minus_put(some):
    some.prices |= {some.key(26000, "CE"): 150.25, some.key(26000, "PE"): 120.0}
    assert some.rig.post("syntheticfuture", **about(some)).json == {
        "status": "success",
        "underlying": "NIFTY",
        "underlying_ltp": SPOT,
        "expiry": strikes.compact(some.near),
        "atm_strike": 26000.0,
        "synthetic_future_price": 26030.25,
    }
    some.rig.rest.no_quote.add(some.key(26000, "PE"))
    answer = some.rig.post("syntheticfuture", **about(some))
    assert (answer.status_code, answer.json["code"]) == (400, "NO_DATA")


def test_optiongreeks_uses_the_synthetic_future_of_the_expiry(some):
    answer = some.rig.post("optiongreeks", symbol=some.symbol(26200, "PE"), exchange="NFO").json
    assert answer["spot_price"] == pytest.approx(FORWARD, abs=0.01)
    assert answer["implied_volatility"] == pytest.approx(SIGMA * 100, abs=0.01)
    assert (answer["underlying"], answer["strike"], answer["option_type"]) == ("NIFTY", 26200.0, "PE")
    assert answer["expiry_date"] == f"{some.near:%d-%b-%Y}"
    assert 6 < answer["days_to_expiry"] < 8
    assert answer["interest_rate"] == 0
    assert -1 < answer["greeks"]["delta"] < -0.5
    assert set(answer["greeks"]) == {"delta", "gamma", "theta", "vega", "rho"}
    assert "note" not in answer


@pytest.mark.parametrize(
    ("changes", "forward"),
    [
        ({"forward_price": "26500.5"}, 26500.5),
        ({"forward_price": 0}, FORWARD),
        ({"underlying_symbol": "NIFTY", "underlying_exchange": "NSE_INDEX"}, SPOT),
        ({"underlying_symbol": "NIFTY"}, SPOT),
    ],
)
def test_optiongreeks_takes_the_forward_it_is_given(some, changes, forward):
    answer = some.rig.post("optiongreeks", symbol=some.symbol(26000, "CE"), exchange="NFO", **changes).json
    assert answer.get("spot_price") == pytest.approx(forward, abs=0.01), answer


def test_optiongreeks_without_time_value_says_so(some):
    some.prices[some.key(25700, "CE")] = 300.0
    body = {"symbol": some.symbol(25700, "CE"), "exchange": "NFO", "forward_price": 26012}
    answer = some.rig.post("optiongreeks", **body).json
    assert (answer["implied_volatility"], answer["greeks"]["delta"]) == (0.0, 1.0)
    assert (answer["intrinsic_value"], answer["time_value"]) == (312.0, 0.0)
    assert answer["note"]


@pytest.mark.parametrize(
    ("symbol", "status", "code"),
    [
        ("NIFTY28MAR2420800CE", 400, "SYMBOL_NOT_FOUND"),
        ("FUT", 400, "NOT_AN_OPTION"),
        ("DEAD", 400, "NO_DATA"),
        ("DEAR", 400, "NO_IMPLIED_VOLATILITY"),
    ],
)
def test_optiongreeks_says_why_it_cannot(some, symbol, status, code):
    some.prices |= {some.key(26000, "CE"): 0.0, some.key(26050, "CE"): 27000.0}
    known = {
        "FUT": f"NIFTY{strikes.compact(some.near)}FUT",
        "DEAD": some.symbol(26000, "CE"),
        "DEAR": some.symbol(26050, "CE"),
    }
    answer = some.rig.post("optiongreeks", symbol=known.get(symbol, symbol), exchange="NFO")
    assert (answer.status_code, answer.json["code"]) == (status, code), answer.json


def test_a_bad_key_is_401_on_both_greeks(some):
    item = {"symbol": some.symbol(26000, "CE"), "exchange": "NFO"}
    for path, body in (("optiongreeks", item), ("multioptiongreeks", {"symbols": [item]})):
        answer = some.rig.post(path, **body, apikey="f" * 64)
        assert (answer.status_code, answer.json["message"]) == (401, "Invalid openalgo apikey")


def test_multioptiongreeks_values_what_it_can_in_two_quote_calls(some):
    items = [{"symbol": some.symbol(s, "CE"), "exchange": "NFO"} for s in (25900, 26200)]
    all_good = some.rig.post("multioptiongreeks", symbols=items).json
    assert len(some.rig.rest.quote_calls) == 2
    assert (all_good["status"], all_good["summary"]) == ("success", {"total": 2, "success": 2, "failed": 0})
    one = some.rig.post("optiongreeks", **items[1]).json
    assert all_good["data"][1]["greeks"]["delta"] == pytest.approx(one["greeks"]["delta"], abs=1e-3)
    bad = {"symbol": "NIFTY28MAR2420800CE", "exchange": "NFO"}
    mixed = some.rig.post("multioptiongreeks", symbols=[bad, *items])
    assert (mixed.status_code, mixed.json["status"]) == (200, "partial")
    assert mixed.json["data"][0] == bad | {
        "status": "error",
        "message": mixed.json["data"][0]["message"],
        "code": "SYMBOL_NOT_FOUND",
    }
    assert "1 of 3" in mixed.json["message"]
    none = some.rig.post("multioptiongreeks", symbols=[bad])
    assert (none.status_code, none.json["status"]) == (200, "error")


# -- orders ---------------------------------------------------------------------------------------------

ORDER = {"strategy": "test", "action": "BUY", "quantity": "130"}


def test_optionsorder_sends_one_order_for_the_contract(some):
    answer = some.rig.post("optionsorder", **choice(some, offset="otm1"), **ORDER)
    assert answer.status_code == 200, answer.json
    assert answer.json == {
        "status": "success",
        "orderid": answer.json["orderid"],
        "symbol": some.symbol(26050, "CE"),
        "exchange": "NFO",
        "underlying": "NIFTY",
        "underlying_ltp": SPOT,
        "offset": "OTM1",
        "option_type": "CE",
    }
    assert sent(some) == [(some.symbol(26050, "CE"), "BUY", 130)]
    assert some.rig.parts.desk.strategy_of(answer.json["orderid"]) == "test"


def test_optionsorder_in_pieces_tells_the_outcome_of_each(some):
    some.rig.rest.fail["place"] = [OrderRejected("no margin", code="INSUFFICIENT_MARGIN")]
    body = choice(some) | ORDER | {"quantity": 325, "splitsize": "130"}
    answer = some.rig.post("optionsorder", **body).json
    assert (answer["total_quantity"], answer["split_size"]) == (325, 130)
    assert [(r["order_num"], r["quantity"], r["status"]) for r in answer["results"]] == [
        (1, 130, "error"),
        (2, 130, "success"),
        (3, 65, "success"),
    ]
    assert answer["results"][0]["code"] == "INSUFFICIENT_MARGIN"
    assert "orderid" not in answer
    assert [quantity for _, _, quantity in sent(some)] == [130, 65]


def test_optionsorder_refuses_more_than_100_pieces_before_anything_is_sent(some):
    body = choice(some) | ORDER | {"quantity": 101, "splitsize": 1}
    answer = some.rig.post("optionsorder", **body)
    assert answer.status_code == 400
    assert answer.json["message"] == "Total number of orders would exceed maximum limit of 100"
    assert some.placed == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": "75.0"}, "quantity"),
        ({"quantity": 0}, "quantity"),
        ({"product": "CNC"}, "product"),
        ({"splitsize": -1}, "splitsize"),
        ({"stoploss": 1}, "stoploss"),
    ],
)
def test_optionsorder_refuses_bad_terms(some, changes, field):
    answer = some.rig.post("optionsorder", **(choice(some) | ORDER | changes))
    assert answer.status_code == 400
    assert field in answer.json["errors"]
    assert some.placed == []


def test_optionsorder_tells_a_refusal_like_placeorder(some):
    some.rig.rest.fail["place"] = [OrderRejected("no margin", code="INSUFFICIENT_MARGIN")]
    answer = some.rig.post("optionsorder", **choice(some), **ORDER)
    assert (answer.status_code, answer.json["code"]) == (400, "INSUFFICIENT_MARGIN")
    assert answer.json["journal_id"] > 0


def test_optionsorder_repeated_with_its_id_sends_nothing(some):
    body = choice(some) | ORDER | {"client_order_id": "c-1"}
    first, again = some.rig.post("optionsorder", **body).json, some.rig.post("optionsorder", **body).json
    assert again == first | {"repeated": True}
    assert len(some.placed) == 1
    some.prices[NIFTY] = 26100.0
    moved = some.rig.post("optionsorder", **body)
    assert (moved.status_code, moved.json["code"]) == (400, "CLIENT_ORDER_ID_REUSED")
    assert len(some.placed) == 1


LEGS = [
    {"offset": "ATM", "option_type": "CE", "action": "SELL", "quantity": 65},
    {"offset": "OTM2", "option_type": "CE", "action": "BUY", "quantity": "65"},
    {"offset": "ATM", "option_type": "PE", "action": "sell", "quantity": 65, "product": "NRML"},
    {"offset": "OTM2", "option_type": "PE", "action": "BUY", "quantity": 65},
]


def test_legs_are_bought_before_they_are_sold_and_told_in_order(some):
    answer = some.rig.post("optionsmultiorder", strategy="t", legs=LEGS, **about(some)).json
    assert (answer["status"], answer["underlying"], answer["underlying_ltp"]) == ("success", "NIFTY", SPOT)
    assert [row["leg"] for row in answer["results"]] == [1, 2, 3, 4]
    assert [row["symbol"] for row in answer["results"]] == [
        some.symbol(26000, "CE"),
        some.symbol(26100, "CE"),
        some.symbol(26000, "PE"),
        some.symbol(25900, "PE"),
    ]
    assert [o.action for o in some.placed] == [
        Action.BUY,
        Action.BUY,
        Action.SELL,
        Action.SELL,
    ]
    row = answer["results"][2]
    assert (row["product"], row["mode"], row["action"]) == ("NRML", "live", "SELL")
    ids = list(some.rig.rest.book)[-4:]
    by_symbol = {order.key.symbol: order_id for order, order_id in zip(some.placed, ids, strict=True)}
    assert {r["symbol"]: r["orderid"] for r in answer["results"]} == by_symbol
    assert len([call for call in some.rig.rest.quote_calls if call == [NIFTY]]) == 1


def test_a_failed_leg_does_not_hide_the_others(some):
    legs = [
        LEGS[1] | {"offset": "OTM30"},
        LEGS[0] | {"expiry_date": "28MAR24"},
        LEGS[3],
        LEGS[1] | {"quantity": 64},
    ]
    answer = some.rig.post("optionsmultiorder", strategy="t", legs=legs, **about(some))
    assert (answer.status_code, answer.json["status"]) == (200, "success")
    assert [(r["status"], r.get("code")) for r in answer.json["results"]] == [
        ("error", "OUT_OF_LADDER"),
        ("error", "SYMBOL_NOT_FOUND"),
        ("success", None),
        ("error", "INVALID_QUANTITY"),
    ]
    assert "symbol" not in answer.json["results"][0]
    assert len(some.placed) == 1


def test_a_leg_may_have_its_own_expiry_and_pieces(some):
    leg = LEGS[1] | {"expiry_date": strikes.compact(some.far), "quantity": 195, "splitsize": 130}
    answer = some.rig.post("optionsmultiorder", strategy="t", legs=[leg], **about(some)).json
    [row] = answer["results"]
    assert row["symbol"] == some.symbol(26100, "CE", some.far)
    assert (row["total_quantity"], row["split_size"]) == (195, 130)
    assert [(r["order_num"], r["quantity"], r["status"]) for r in row["split_results"]] == [
        (1, 130, "success"),
        (2, 65, "success"),
    ]
    assert "orderid" not in row


def test_legs_repeated_with_their_id_send_nothing(some):
    body = about(some) | {"strategy": "t", "legs": LEGS, "client_order_id": "legs-1"}
    first = some.rig.post("optionsmultiorder", **body).json
    again = some.rig.post("optionsmultiorder", **body).json
    assert [r["orderid"] for r in again["results"]] == [r["orderid"] for r in first["results"]]
    assert len(some.placed) == 4


@pytest.mark.parametrize("legs", [[], LEGS * 6, [LEGS[1], LEGS[0] | {"quantity": 201, "splitsize": 2}]])
def test_too_many_or_no_legs_send_nothing(some, legs):
    answer = some.rig.post("optionsmultiorder", strategy="t", legs=legs, **about(some))
    assert answer.status_code == 400
    assert some.placed == []


# -- ticker ---------------------------------------------------------------------------------------------


def ticker(some, path, **query):
    given = {"apikey": some.rig.key, "from": "2026-11-02", "to": "2026-11-03"} | query
    return some.rig.app.test_client().get(f"/api/v1/ticker/{path}", query_string=given)


def test_ticker_answers_candles_as_json_or_lines(some):
    for path in ("NSE:SBIN", "SBIN", "nse:sbin"):
        assert ticker(some, path).json["data"] == [
            {
                "timestamp": 1793577600,
                "open": 100.0,
                "high": 101.0,
                "low": 99.5,
                "close": 100.5,
                "volume": 1200,
                "oi": 7,
            }
        ]
    daily = ticker(some, "NSE:SBIN", format="txt", adjusted="true", sort="asc")
    assert daily.content_type == "text/plain; charset=utf-8"
    assert daily.get_data(as_text=True) == "NSE:SBIN,2026-11-02,100.0,101.0,99.5,100.5,1200\n"
    minutes = ticker(some, "NSE:SBIN", format="txt", interval="1m").get_data(as_text=True)
    assert minutes == "NSE:SBIN,2026-11-02,05:30:00,100.0,101.0,99.5,100.5,1200\n"


def test_ticker_refuses_years_in_which_nothing_was_traded_and_clamps_to_the_first(some, monkeypatch):
    asked = []
    monkeypatch.setattr(some.rig.parts.market, "candles", lambda *given: asked.append(given) or [])
    for last in ("0001-02-01", "1985-12-31"):
        answer = ticker(some, "NSE:SBIN", **{"from": "0001-01-01", "to": last})
        assert answer.status_code == 400
        assert "to must be 1986-01-01 or later" in str(answer.json["message"])
    assert asked == []
    for interval in ("D", "5m"):
        answer = ticker(some, "NSE:SBIN", interval=interval, **{"from": "0001-01-01", "to": "1986-01-02"})
        assert answer.status_code == 200
    assert [str(given[2]) for given in asked] == ["1986-01-01"] * 2


def test_ticker_starts_no_earlier_than_its_reach(some, monkeypatch):
    asked = []
    monkeypatch.setattr(some.rig.rest, "candles", lambda row, interval, start, end: asked.append(start) or [])
    ticker(some, "NSE:SBIN", **{"from": "2001-01-01"})
    ticker(some, "NSE:SBIN", interval="5m", **{"from": "2001-01-01"})
    assert [day.isoformat() for day in asked] == ["2016-11-02", "2026-10-04"]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("NSE:NOSUCH", {}, 400),
        ("XYZ:SBIN", {}, 400),
        ("NSE:SBIN", {"from": "2026-11-04"}, 400),
        ("NSE:SBIN", {"from": "yesterday"}, 400),
        ("NSE:SBIN", {"interval": "4m"}, 400),
        ("NSE:SBIN", {"apikey": "f" * 64}, 403),
        ("NSE:SBIN/", {}, 404),
    ],
)
def test_ticker_refuses(some, path, query, status):
    assert ticker(some, path, **query).status_code == status


def test_the_key_of_the_contract_is_the_desks(some):
    some.rig.post("optionsorder", **choice(some), **ORDER)
    assert some.placed[0].key == InstrumentKey("NFO", some.symbol(26000, "CE"))
