"""The surface is whole: every endpoint of OpenAlgo's list answers, in both slash forms."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.model import InstrumentKey
from gateway.api.surface import ENDPOINTS, WEBHOOKS
from gateway.http.server import Server
from tests.gateway.api.rig import Rig, running

LISTED = json.loads((Path(__file__).parent / "data" / "openalgo-endpoints.json").read_text())
API = [row for row in LISTED if row["path"].startswith("/api/v1/")]
BY_NAME = {(e.method, f"/api/v1/{e.path.replace('<', '{').replace('>', '}')}"): e for e in ENDPOINTS}
LATER = [e for e in ENDPOINTS if e.handler is None and e.path != "telegram/webhook"]
SERVED = [e for e in ENDPOINTS if e.handler is not None]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        yield one


@pytest.fixture(scope="module")
def server(rig: Rig) -> Iterator[Server]:
    one = Server(rig.app, "127.0.0.1", 0)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.stop()


@pytest.mark.parametrize("row", API, ids=lambda r: f"{r['method']} {r['path']}")
def test_every_listed_endpoint_is_in_the_table_with_its_class_and_style(row):
    endpoint = BY_NAME[(row["method"], row["path"])]
    if row["group"] not in ("telegram", "whatsapp"):
        assert endpoint.limit == row["rate_limit"]
        assert endpoint.style == (row["validation_style"] or "V2")
    wanted = {"none": "key"}.get(row["auth"], row["auth"])
    if wanted in ("session", "key"):
        assert endpoint.auth == wanted
    if endpoint.handler is not None:
        fields = {name for name in endpoint.schema().fields}
        listed = {name.split("[")[0] for name in (*row["required"], *row["optional"]) if name[0] != "<"}
        assert listed <= fields


def test_the_table_holds_nothing_twice_and_nothing_unlisted():
    assert len(BY_NAME) == len(ENDPOINTS)
    assert set(BY_NAME) == {(row["method"], row["path"]) for row in API}
    paths = {row["path"].replace("{", "<").replace("}", ">") for row in LISTED} - {r["path"] for r in API}
    assert set(WEBHOOKS) == {path for path in paths if not path.startswith("/api/")}


@pytest.mark.parametrize("endpoint", LATER, ids=lambda e: f"{e.method} {e.path}")
def test_what_is_not_there_yet_says_so_after_the_key_check(rig, endpoint):
    client = rig.app.test_client()
    path = f"/api/v1/{endpoint.path.replace('<symbol>', 'NSE:SBIN')}"
    for form in (path,) if endpoint.bare_only else (path, f"{path}/"):
        for key, statuses in ((rig.key, {501}), ("wrong", {401, 403})):
            if endpoint.method == "GET":
                answer = client.get(form, query_string={"apikey": key, "from": "x"})
            else:
                answer = client.post(form, json={"apikey": key, "anything": 1})
            assert answer.status_code in statuses, answer.get_data(as_text=True)
            assert answer.json["status"] == "error"
            assert answer.json["code"] == ("NOT_SUPPORTED" if key == rig.key else "INVALID_API_KEY")


def test_the_not_yet_ones_check_the_rest_of_the_key_rules(rig):
    client = rig.app.test_client()
    telegram = client.post("/api/v1/telegram/notify", json={}, headers={"X-API-KEY": "wrong"})
    assert (telegram.status_code, telegram.json["message"]) == (401, "Invalid or missing API key")
    good = client.post("/api/v1/telegram/notify", json={}, headers={"X-API-KEY": rig.key})
    assert good.status_code == 501
    assert client.post("/api/v1/pnl/symbols", json={"apikey": "no"}).json["message"] == "Invalid API key"


@pytest.mark.parametrize("endpoint", SERVED, ids=lambda e: e.path)
def test_a_bad_key_is_refused_everywhere_it_is_served(rig, endpoint):
    client = rig.app.test_client()
    given = dict.fromkeys(endpoint.schema().fields, "x") | EXAMPLE
    fields = {name: given[name] for name in endpoint.schema().fields} | {"apikey": "f" * 64}
    if endpoint.method == "GET":
        path = endpoint.path.replace("<symbol>", "NSE:SBIN")
        answer = client.get(f"/api/v1/{path}", query_string=fields)
    else:
        any_name = {"theme": 1} if endpoint.path == "chart" else {}
        answer = client.post(f"/api/v1/{endpoint.path}", json=fields | any_name)
    greeks = endpoint.path in ("optiongreeks", "multioptiongreeks")
    assert answer.status_code == (401 if greeks else 403), answer.get_data(as_text=True)
    assert answer.json["message"] == (endpoint.bad_key_message or "Invalid openalgo apikey")


EXAMPLE = {
    "mode": True,
    "exchange": "NFO",
    "offset": "ATM",
    "option_type": "CE",
    "expiry_date": "28MAR30",
    "strike_int": None,
    "strike_count": 5,
    "with_greeks": True,
    "interest_rate": 0,
    "forward_price": 0,
    "underlying_exchange": "NSE",
    "expiry_time": "15:30",
    "legs": [{"offset": "ATM", "option_type": "CE", "action": "BUY", "quantity": 1}],
    "year": 2026,
    "date": "2026-11-20",
    "from": "2026-11-01",
    "to": "2026-11-20",
    "action": "BUY",
    "quantity": 1,
    "pricetype": "MARKET",
    "product": "NRML",
    "price": 0,
    "trigger_price": 0,
    "trigger_type": "SINGLE",
    "triggerprice_sl": 1,
    "triggerprice_tg": 0,
    "stoploss": None,
    "target": None,
    "expires_at": None,
    "status": "all",
    "disclosed_quantity": 0,
    "underlying_ltp": None,
    "position_size": 0,
    "orders": [],
    "splitsize": 1,
    "positions": [
        {
            "symbol": "SBIN",
            "exchange": "NSE",
            "action": "BUY",
            "product": "MIS",
            "pricetype": "MARKET",
            "quantity": "1",
        }
    ],
    "symbols": [{"symbol": "SBIN", "exchange": "NFO"}],
    "interval": "D",
    "start_date": "2026-11-01",
    "end_date": "2026-11-20",
    "source": "api",
    "instrumenttype": "futures",
    "format": "json",
}


@pytest.mark.parametrize("path", ["ping", "intervals", "search"])
def test_both_slash_forms_and_leading_slashes_answer_directly(rig, server, path):
    body = {"apikey": rig.key} | ({"query": "SBIN"} if path == "search" else {})
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for form in (f"/api/v1/{path}", f"/api/v1/{path}/", f"//api/v1/{path}", f"///api/v1/{path}/"):
        client.request("POST", form, body=json.dumps(body))
        answer = client.getresponse()
        assert (answer.status, json.loads(answer.read())["status"]) == (200, "success"), form
    client.close()


def test_a_wrong_method_is_405_with_the_slash_and_404_without(rig):
    client = rig.app.test_client()
    slash, bare = client.get("/api/v1/placeorder/"), client.get("/api/v1/placeorder")
    assert slash.status_code == 405
    assert slash.json["message"] == "The method is not allowed for the requested URL."
    assert slash.headers["Allow"] == "OPTIONS, POST"
    assert bare.status_code == 404
    assert bare.json["message"] == "Not found"


def test_an_unknown_path_is_404_with_the_path(rig):
    answer = rig.app.test_client().post("/api/v1/x", json={})
    assert answer.status_code == 404
    assert answer.json == {
        "status": "error",
        "message": "Not found",
        "path": "/api/v1/x",
        "code": "NOT_FOUND",
    }


def test_options_is_200_with_cors_for_the_own_origin_only(rig):
    client = rig.app.test_client()
    own = client.options("/api/v1/placeorder", headers={"Origin": "http://localhost"})
    other = client.options("/api/v1/placeorder", headers={"Origin": "http://evil.example"})
    assert own.status_code == other.status_code == 200
    assert own.headers["Access-Control-Allow-Origin"] == "http://localhost"
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/flow/webhook/abc", "workflow"),
        ("/flow/webhook/abc/SBIN/", "workflow"),
        ("/postback/dhan", "order feed"),
    ],
)
def test_webhooks_there_is_no_use_for_say_why(rig, path, words):
    answer = rig.app.test_client().post(path, json={})
    assert (answer.status_code, answer.json["code"]) == (501, "NOT_SUPPORTED")
    assert words in answer.json["error"] == answer.json["message"]


def test_without_a_broker_session_the_session_endpoints_say_log_in(tmp_path):
    with running(tmp_path, logged_in=False, reconciled=False) as rig:
        answer = rig.post("ping")
        assert answer.status_code == 403
        assert answer.json["code"] == "AUTH_EXPIRED"
        assert "algo login dhan" in answer.json["next_step"]
        assert rig.post("search", query="SBIN").status_code == 200


def test_an_empty_instrument_table_is_not_an_empty_answer(tmp_path):
    with running(tmp_path, loaded=False, reconciled=False) as rig:
        search, quotes = rig.post("search", query="SBIN"), rig.post("quotes", symbol="SBIN", exchange="NSE")
        assert search.status_code == quotes.status_code == 503
        assert search.json["code"] == quotes.json["code"] == "NOT_READY"
        assert rig.parts.instruments.by_key(InstrumentKey("NSE", "SBIN")) is None
