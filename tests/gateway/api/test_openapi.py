"""The API document is the API: every row, every required field, and real answers against its schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from brokers.model import InstrumentKey, OrderStatus
from gateway.api import analyzing, answers, historify, leases, older, openapi, panic, semiauto
from gateway.api.errors import STATUS
from gateway.api.surface import ENDPOINTS
from gateway.api.webhooks import SERVED as SERVED_WEBHOOKS
from gateway.options import strikes
from tests.gateway.api.optionrig import Options, options
from tests.gateway.api.rig import GTT, ORDER, foreign_order, position, trade

OWN = (*ENDPOINTS, *panic.ENDPOINTS, *leases.ENDPOINTS, *analyzing.ENDPOINTS, *historify.ENDPOINTS)
ALL = (*OWN, *older.ENDPOINTS)
DOCUMENT = openapi.document(OWN, older.ENDPOINTS)
ROWS = {(e.method.lower(), f"/{e.path.replace('<', '{').replace('>', '}')}"): e for e in ALL}
SERVED = [e for e in ALL if e.handler is not None]


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Options]:
    with options(tmp_path_factory.mktemp("home")) as one:
        yield one


def operation(endpoint) -> dict[str, Any]:
    path = "/" + endpoint.path.replace("<", "{").replace(">", "}")
    return DOCUMENT["paths"][path][endpoint.method.lower()]


def schema_of(endpoint, status: int = 200) -> dict[str, Any]:
    found = operation(endpoint)["responses"][str(status)]["content"]["application/json"]["schema"]
    return found | {"components": DOCUMENT["components"]}


def test_every_row_is_in_the_document_and_nothing_else():
    listed = {(method, path) for path, found in DOCUMENT["paths"].items() for method in found}
    assert listed == set(ROWS) | {("post", path) for path in answers.ALERTS}
    webhooks = {f"/{rule.replace('<', '{').replace('>', '}').lstrip('/')}" for rule in SERVED_WEBHOOKS}
    assert set(answers.ALERTS) == webhooks
    assert all(DOCUMENT["paths"][path]["post"]["servers"] == [{"url": "/"}] for path in webhooks)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_operations_have_names_of_their_own():
    names = [found["operationId"] for path in DOCUMENT["paths"].values() for found in path.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("endpoint", ALL, ids=lambda e: f"{e.method} {e.path}")
def test_required_and_allowed_fields_are_those_of_the_request_schema(endpoint):
    schema, found = endpoint.schema(), operation(endpoint)
    required = {name for name, field in schema.fields.items() if field.required}
    if endpoint.method == "GET":
        assert {p["name"] for p in found["parameters"]} == set(schema.fields)
        assert {p["name"] for p in found["parameters"] if p["required"]} == required
        return
    body = found["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    listed = DOCUMENT["components"]["schemas"][body]
    assert set(listed["properties"]) == set(schema.fields)
    assert set(listed.get("required", [])) == required


@pytest.mark.parametrize("endpoint", ALL, ids=lambda e: f"{e.method} {e.path}")
def test_every_error_code_is_listed_under_its_status(endpoint):
    found = operation(endpoint)["responses"]
    for code, status in STATUS.items():
        wanted = endpoint.bad_key_status if code == "INVALID_API_KEY" else status
        assert code in found[str(wanted)]["description"]
    assert ("200" in found) == (endpoint.handler is not None)


def test_every_described_answer_belongs_to_a_row():
    rows = {f"{e.method} {e.path}" for e in ALL}
    assert set(answers.ANSWERS) <= rows
    assert set(answers.TEXT_ANSWERS) <= rows


def test_schemas_are_schemas():
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for endpoint in SERVED:
        Draft202012Validator.check_schema(schema_of(endpoint))


def test_the_document_is_served_without_a_key_and_tells_nothing_of_the_instance(some):
    answer = some.rig.app.test_client().get("/api/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json == DOCUMENT
    text = answer.get_data(as_text=True)
    assert str(some.rig.parts.settings.port) not in text
    assert str(some.rig.parts.settings.home) not in text


def bodies(some: Options) -> list[tuple[str, str, dict[str, Any]]]:
    """A request for every row that can succeed on this rig."""
    key = {"symbol": "SBIN", "exchange": "NSE"}
    about = {"underlying": "NIFTY", "exchange": "NSE_INDEX", "expiry_date": strikes.compact(some.near)}
    choice = about | {"offset": "ATM", "option_type": "CE"}
    option = {"symbol": some.symbol(26200, "CE"), "exchange": "NFO"}
    leg = {"offset": "OTM1", "option_type": "PE", "action": "BUY", "quantity": 130}
    dates = {"start_date": "2026-11-01", "end_date": "2026-11-20"}
    order = {k: v for k, v in ORDER.items() if k != "strategy"}
    smart = ORDER | {"position_size": 5}
    return [
        ("POST", "placeorder", ORDER),
        ("POST", "placesmartorder", smart),
        ("POST", "basketorder", {"strategy": "t", "orders": [order, order | {"quantity": "1"}]}),
        ("POST", "splitorder", ORDER | {"quantity": 5, "splitsize": 2}),
        ("POST", "orderbook", {}),
        ("POST", "tradebook", {}),
        ("POST", "positionbook", {}),
        ("POST", "holdings", {}),
        ("POST", "funds", {}),
        ("POST", "openposition", key | {"product": "MIS"}),
        ("POST", "ping", {}),
        ("POST", "quotes", key),
        ("POST", "multiquotes", {"symbols": [key, {"symbol": "NO", "exchange": "NSE"}]}),
        ("POST", "depth", key),
        ("POST", "history", key | dates | {"interval": "D"}),
        ("POST", "intervals", {}),
        ("POST", "symbol", key),
        ("POST", "search", {"query": "NIFTY"}),
        ("POST", "expiry", {"symbol": "NIFTY", "exchange": "NFO", "instrumenttype": "options"}),
        ("GET", "instruments", {}),
        ("GET", "ticker/<symbol>", {"from": "2026-11-01", "to": "2026-11-20"}),
        ("POST", "optionsymbol", choice),
        ("POST", "optionchain", about | {"with_greeks": True}),
        ("POST", "optiongreeks", option),
        ("POST", "multioptiongreeks", {"symbols": [option, key | {"exchange": "NFO"}]}),
        ("POST", "syntheticfuture", about),
        ("POST", "optionsorder", choice | {"strategy": "t", "action": "BUY", "quantity": 65}),
        (
            "POST",
            "optionsorder",
            choice | {"strategy": "t", "action": "BUY", "quantity": 130, "splitsize": 65},
        ),
        ("POST", "optionsmultiorder", about | {"strategy": "t", "legs": [leg, leg | {"splitsize": 65}]}),
        ("POST", "chart", {"theme": "dark"}),
        ("GET", "chart", {}),
        ("POST", "market/holidays", {"year": 2026}),
        ("POST", "market/timings", {"date": "2026-11-20"}),
        ("POST", "placegttorder", GTT | {"triggerprice_tg": 30000}),
        ("POST", "gttorderbook", {"status": "all"}),
        ("POST", "cancelallorder", {}),
        ("POST", "closeposition", {}),
    ]


def test_real_answers_and_real_requests_fit_the_document(some):
    rest = some.rig.rest
    sbin = InstrumentKey("NSE", "SBIN")
    rest.position_rows = [position(sbin, -10), position(InstrumentKey("NSE", "TCS"), 0, ltp=None, pnl=None)]
    rest.book["F1"] = foreign_order("F1", status=OrderStatus.COMPLETE)
    rest.trade_rows = [trade("F1", 4, "801.25")]
    by_name = {(e.method, e.path): e for e in ENDPOINTS}
    seen = set()
    for method, path, body in bodies(some):
        endpoint = by_name[method, path]
        given = {"apikey": some.rig.key} | body
        client = some.rig.app.test_client()
        if method == "GET":
            place = path.replace("<symbol>", "NSE:SBIN")
            answer = client.get(f"/api/v1/{place}", query_string=given)
        else:
            name = endpoint.schema.__name__
            request = DOCUMENT["components"]["schemas"][name] | {"components": DOCUMENT["components"]}
            Draft202012Validator(request).validate(given)
            answer = client.post(f"/api/v1/{path}", json=given)
        assert answer.status_code == 200, (path, answer.get_data(as_text=True))
        Draft202012Validator(schema_of(endpoint)).validate(answer.json)
        seen.add(f"{method} {path}")
    unseen = {"POST modifyorder", "POST cancelorder", "POST orderstatus"}
    unseen |= {"POST modifygttorder", "POST cancelgttorder"}  # tests/gateway/api/test_gtt.py
    unseen |= {f"POST {path}" for path in (*(e.path for e in analyzing.ENDPOINTS), "pnl/symbols")}
    unseen |= {"POST analyzer", "POST analyzer/toggle"}
    assert set(answers.ANSWERS) - unseen <= seen


def test_orders_that_wait_fit_the_document(some):
    some.rig.internal("POST", "order-mode", {"mode": "semi_auto"})
    try:
        for method, path, body in bodies(some):
            endpoint = next((e for e in ALL if (e.method, e.path) == (method, path)), None)
            if endpoint is None or path not in semiauto.QUEUED:
                continue
            answer = some.rig.post(path, **body)
            assert (answer.status_code, answer.json["mode"]) == (200, "semi_auto"), path
            Draft202012Validator(schema_of(endpoint)).validate(answer.json)
    finally:
        some.rig.internal("POST", "order-mode", {"mode": "auto"})


@pytest.mark.parametrize("platform", ["tradingview", "chartink"])
def test_alerts_fit_the_document(some, platform):
    made = some.rig.internal(
        "POST",
        "strategies",
        {
            "name": platform,
            "platform": platform,
            "symbols": [{"exchange": "NSE", "symbol": "SBIN", "quantity": 1}],
        },
    ).json
    path = f"/{'chartink' if platform == 'chartink' else 'strategy'}/webhook/{{webhook_id}}"
    found = DOCUMENT["paths"][path]["post"]
    request = found["requestBody"]["content"]["application/json"]["schema"]
    client, url = some.rig.app.test_client(), path.replace("{webhook_id}", made["webhook_id"])
    good = (
        {"stocks": "SBIN", "scan_name": "BUY"}
        if platform == "chartink"
        else {"symbol": "SBIN", "action": "BUY"}
    )
    cases = [(good, 200), (good | {"alert_id": "1", "sl": 5}, 200), ({}, 400)]
    if platform == "chartink":
        cases.append((good | {"stocks": "TCS"}, 200))
    for body, status in cases:
        answer = client.post(url, json=body)
        assert answer.status_code == status, answer.json
        schema = found["responses"][str(status)]["content"]["application/json"]["schema"]
        Draft202012Validator(schema).validate(answer.json)
        assert Draft202012Validator(request).is_valid(body) is (status == 200)
    some.rig.internal("DELETE", f"strategies/{platform}")


def test_real_errors_fit_the_document_too(some):
    by_name = {(e.method, e.path): e for e in ENDPOINTS}
    cases = [
        ("optionsymbol", {"underlying": "NO", "exchange": "NSE", "offset": "ATM", "option_type": "CE"}, 400),
        ("optionchain", {"underlying": "NO", "exchange": "NSE", "expiry_date": "28MAR30"}, 404),
        ("optiongreeks", {"symbol": "X", "exchange": "NFO", "apikey": "f" * 64}, 401),
        ("quotes", {"symbol": "NO", "exchange": "NSE"}, 400),
        ("placeorder", {}, 400),
        ("history", {"exchange": 1}, 400),
        ("cancelgttorder", {"strategy": "t", "trigger_id": "GTT-1"}, 404),
        ("portfolio/backtest", {}, 501),
    ]
    for path, body, status in cases:
        answer = some.rig.post(path, **body)
        assert answer.status_code in (status, 404), answer.json
        Draft202012Validator(schema_of(by_name["POST", path], answer.status_code)).validate(answer.json)


@pytest.mark.parametrize(
    ("path", "change"),
    [("optionchain", {"strike_count": "many"}), ("placeorder", {"quantity": []}), ("quotes", {"extra": 1})],
)
def test_the_document_refuses_what_the_gateway_refuses(some, path, change):
    body = next(b for m, p, b in bodies(some) if (m, p) == ("POST", path)) | {"apikey": some.rig.key} | change
    endpoint = next(e for e in ENDPOINTS if (e.method, e.path) == ("POST", path))
    listed = DOCUMENT["components"]["schemas"][endpoint.schema.__name__]
    assert not Draft202012Validator(listed | {"components": DOCUMENT["components"]}).is_valid(body)
    assert some.rig.post(path, **body).status_code == 400
