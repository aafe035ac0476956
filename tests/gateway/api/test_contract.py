"""Every endpoint of the contract's list against the same rules: fields, keys, styles, limits, methods.

Driven by ``openalgo-endpoints.json`` alone, so that an endpoint that comes later is held to them too.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.api.surface import ENDPOINTS
from tests.gateway.api.rig import FREE, Rig, running

LISTED = json.loads((Path(__file__).parent / "data" / "openalgo-endpoints.json").read_text())
BY_NAME = {(e.method, f"/api/v1/{e.path.replace('<', '{').replace('>', '}')}"): e for e in ENDPOINTS}
SERVED = [row for row in LISTED if (e := BY_NAME.get((row["method"], row["path"]))) and e.handler]
MISSING = "Missing data for required field."
NULL = "Field may not be null."
UNKNOWN = "Unknown field."
OPTIONAL_HERE = {
    # rows 4 and 6 of the list of contradictions
    "optionchain": {"expiry_date"},
    **{path: {"strategy"} for path in ("cancelallorder", "closeposition", "orderstatus", "openposition")},
}
DROPS_UNKNOWN = {"placegttorder", "modifygttorder"}
KEEPS_UNKNOWN = {"POST chart"}
ORDER = {
    "exchange": "NSE",
    "symbol": "SBIN",
    "action": "BUY",
    "quantity": "1",
    "pricetype": "MARKET",
    "product": "MIS",
}
VALUES: dict[str, Any] = {
    **ORDER,
    "strategy": "test",
    "price": "1",
    "trigger_price": "0",
    "disclosed_quantity": "0",
    "position_size": "0",
    "splitsize": 1,
    "orderid": "1",
    "underlying": "NIFTY",
    "offset": "ATM",
    "option_type": "CE",
    "expiry_date": "28MAR30",
    "interval": "D",
    "start_date": "2026-11-01",
    "end_date": "2026-11-20",
    "from": "2026-11-01",
    "to": "2026-11-20",
    "date": "2026-11-20",
    "query": "SBIN",
    "instrumenttype": "futures",
    "mode": False,
    "trigger_type": "SINGLE",
    "trigger_id": "1",
    "orders[]": [ORDER],
    "positions[]": [ORDER],
    "symbols[]": [{"symbol": "SBIN", "exchange": "NSE"}],
    "legs[]": [{"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 1}],
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        yield one


def name_of(row: dict[str, Any]) -> str:
    return f"{row['method']} {row['path'].removeprefix('/api/v1/')}"


def short(row: dict[str, Any]) -> str:
    return str(row["path"].removeprefix("/api/v1/"))


def request_of(row: dict[str, Any], key: str) -> dict[str, Any]:
    """The shortest request the list calls complete."""
    fields = [f for f in row["required"] if "." not in f and f[0] != "<" and f != "apikey"]
    found = {field.removesuffix("[]"): VALUES[field] for field in fields}
    if short(row) in ("placegttorder", "modifygttorder"):
        found |= {"product": "CNC", "triggerprice_sl": "1"}
    if "optiongreeks" in row["path"]:
        option = {"symbol": "SBIN", "exchange": "NFO"}
        found |= {"symbols": [option]} if "symbols" in found else option
    return {"apikey": key, **found}


def send(client: FlaskClient, row: dict[str, Any], fields: dict[str, Any]) -> Any:
    path = row["path"].replace("{symbol}", "NSE:SBIN")
    if row["method"] == "GET":
        return client.get(path, query_string={k: v for k, v in fields.items() if v is not None})
    return client.post(path, json=fields)


def messages(row: dict[str, Any], answer: Any) -> Any:
    """The bad fields of an answer, read the way clients of its style do."""
    assert answer.status_code == 400, answer.get_data(as_text=True)
    body = answer.json
    assert (body["status"], body["code"]) == ("error", "INVALID_REQUEST")
    style = row["validation_style"] or "V2"
    if style == "V1":
        assert isinstance(body["message"], str)
        return ast.literal_eval(body["message"])
    if style == "V2":
        assert isinstance(body["message"], dict)
        return body["message"]
    assert body["message"] == ("Validation error" if style == "V3" else "Validation failed")
    return body["errors"]


def required(row: dict[str, Any]) -> list[str]:
    fields = [f for f in row["required"] if not f.startswith("<") and "." not in f]
    return [f.removesuffix("[]") for f in fields if f not in OPTIONAL_HERE.get(short(row), ())]


# its message is a sentence of its own, see below
OWN_WORDS = "GET chart"
EVERY_FIELD = [
    pytest.param(r, f, id=f"{name_of(r)} {f}") for r in SERVED for f in required(r) if name_of(r) != OWN_WORDS
]
EVERY_INNER = [
    pytest.param(row, *field.split("[]."), id=f"{name_of(row)} {field}")
    for row in SERVED
    for field in row["required"]
    if "[]." in field
]
EVERY_ROW = [pytest.param(row, id=name_of(row)) for row in SERVED]


def test_most_of_the_list_is_served():
    assert len({row["sdk_method"] for row in SERVED if row.get("sdk_method")}) >= 33
    assert len(SERVED) >= 38


@pytest.mark.parametrize(("row", "field"), EVERY_FIELD)
def test_a_missing_field_is_named(rig, row, field):
    fields = request_of(row, rig.key)
    if name_of(row) == "GET ticker/{symbol}" and field == "symbol":
        return
    del fields[field]
    # OpenAlgo reads absent query parameters as null
    expected = NULL if row["method"] == "GET" else MISSING
    assert messages(row, send(rig.app.test_client(), row, fields)) == {field: [expected]}


@pytest.mark.parametrize(("row", "field"), [p for p in EVERY_FIELD if p.values[0]["method"] == "POST"])
def test_a_null_is_named(rig, row, field):
    found = messages(row, send(rig.app.test_client(), row, request_of(row, rig.key) | {field: None}))
    assert found == {field: [NULL]}


@pytest.mark.parametrize(("row", "outer", "inner"), EVERY_INNER)
def test_a_missing_field_of_an_item_is_named_by_its_place(rig, row, outer, inner):
    fields = request_of(row, rig.key)
    item = {k: v for k, v in fields[outer][0].items() if k != inner}
    found = messages(row, send(rig.app.test_client(), row, fields | {outer: [fields[outer][0], item]}))
    place = 1 if row["validation_style"] == "V1" else "1"
    assert found == {outer: {place: {inner: [MISSING]}}}


@pytest.mark.parametrize("row", EVERY_ROW)
def test_an_unknown_field_is_refused_by_name(rig, row):
    answer = send(rig.app.test_client(), row, request_of(row, "f" * 64) | {"surprise": "1"})
    if short(row) in DROPS_UNKNOWN or name_of(row) in KEEPS_UNKNOWN:
        assert answer.status_code == 403, "dropped or kept; the next thing wrong is the key"
        return
    assert messages(row, answer) == {"surprise": [UNKNOWN]}


@pytest.mark.parametrize("row", [p for p in EVERY_ROW if any("[]." in f for f in p.values[0]["required"])])
def test_an_unknown_field_of_an_item_is_refused_by_name(rig, row):
    fields = request_of(row, rig.key)
    outer = next(f for f in row["required"] if f.endswith("[]")).removesuffix("[]")
    item = fields[outer][0] | {"price_type": "LIMIT"}
    found = messages(row, send(rig.app.test_client(), row, fields | {outer: [item]}))
    place = 0 if row["validation_style"] == "V1" else "0"
    assert found == {outer: {place: {"price_type": [UNKNOWN]}}}


@pytest.mark.parametrize("row", EVERY_ROW)
def test_a_bad_key_is_403_or_401_where_the_server_does(rig, row):
    any_name = {"theme": 1} if name_of(row) == "POST chart" else {}
    answer = send(rig.app.test_client(), row, request_of(row, "f" * 64) | any_name)
    greeks = "optiongreeks" in row["path"]
    assert answer.status_code == (401 if greeks else 403), answer.get_data(as_text=True)
    assert answer.json["status"] == "error"
    assert answer.json["code"] == "INVALID_API_KEY"
    words = "Invalid API key" if short(row) == "pnl/symbols" else "Invalid openalgo apikey"
    assert answer.json["message"] == words


@pytest.mark.parametrize("query", [{}, {"apikey": ""}])
def test_the_chart_read_misses_its_key_in_a_sentence(rig, query):
    answer = rig.app.test_client().get("/api/v1/chart", query_string=query)
    assert (answer.status_code, answer.json["message"]) == (400, "Missing apikey parameter")


@pytest.mark.parametrize("row", [p for p in EVERY_ROW if p.id != OWN_WORDS])
def test_an_empty_key_has_no_length(rig, row):
    answer = send(rig.app.test_client(), row, request_of(row, ""))
    found = messages(row, answer)
    assert found["apikey"] == ["Length must be between 1 and 256."]


@pytest.mark.parametrize("row", EVERY_ROW)
def test_both_slash_forms_answer_and_a_wrong_method_does_not(rig, row):
    client = rig.app.test_client()
    other = "POST" if row["method"] == "GET" else "GET"
    bare = row["path"].replace("{symbol}", "NSE:SBIN")
    fields = request_of(row, "f" * 64) | ({"theme": 1} if name_of(row) == "POST chart" else {})
    if "{symbol}" not in row["path"]:
        slash = send(client, {**row, "path": f"{row['path']}/"}, fields)
        assert slash.status_code == send(client, row, fields).status_code
        assert slash.json["code"] == "INVALID_API_KEY"
    if ("GET" if other == "GET" else "POST", row["path"]) in BY_NAME:
        return
    refused = client.open(bare, method=other)
    assert (refused.status_code, refused.json["message"]) == (404, "Not found")
    if "{symbol}" not in row["path"]:
        refused = client.open(f"{bare}/", method=other)
        assert refused.status_code == 405
        assert refused.json["message"] == "The method is not allowed for the requested URL."


@pytest.mark.parametrize("limit", ["ORDER_RATE_LIMIT", "SMART_ORDER_RATE_LIMIT", "API_RATE_LIMIT"])
def test_every_endpoint_of_a_class_has_a_window_of_its_own(tmp_path, limit):
    name = {"ORDER_RATE_LIMIT": "order", "SMART_ORDER_RATE_LIMIT": "smart_order", "API_RATE_LIMIT": "api"}[
        limit
    ]
    rows = [row for row in SERVED if row["rate_limit"] == limit]
    assert rows
    with running(tmp_path, rates=replace(FREE, **{name: "2 per hour"}), reconciled=False) as rig:
        client = rig.app.test_client()
        for row in rows:
            statuses = [send(client, row, {}).status_code for _ in range(3)]
            assert statuses == [400, 400, 429], row["path"]
            refused = send(client, row, {})
            assert refused.json["message"] == "Rate limit exceeded. Please slow down your requests."
            assert (refused.json["status"], refused.json["code"]) == ("error", "RATE_LIMITED")
            assert int(refused.headers["Retry-After"]) == refused.json["retry_after"] >= 1
        others = [row for row in SERVED if row["rate_limit"] != limit]
        assert all(send(client, row, {}).status_code == 400 for row in others)


@pytest.mark.parametrize("row", EVERY_ROW)
def test_what_is_not_an_object_is_refused_in_the_endpoints_style(rig, row):
    if row["method"] == "GET":
        return
    client = rig.app.test_client()
    found = messages(row, client.post(row["path"], data=b"[]"))
    assert found == {"_schema": ["Invalid input type."]}
    broken = client.post(row["path"], data=b"{", content_type="text/plain")
    assert (broken.status_code, broken.json["status"]) == (400, "error")
