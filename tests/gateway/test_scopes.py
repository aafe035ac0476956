"""What a key may do: its words, where they are kept, and that each route asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brokers.errors import InvalidRequest
from gateway import scopes
from gateway.api import analyzing, historify, leases, modes, older, openapi, panic, semiauto
from gateway.api.dispatch import MARKET_DATA, Dispatcher
from gateway.api.older import OlderDispatcher
from gateway.api.parts import Endpoint
from gateway.api.schemas import AnyBody
from gateway.api.surface import ENDPOINTS
from gateway.scopes import ALL, Scope
from tests.gateway.api.rig import Rig, running
from tests.gateway.web.people import make_owner, post

DATA, READ, TRADE, MANAGE = Scope
OWN = (*ENDPOINTS, *panic.ENDPOINTS, *leases.ENDPOINTS, *analyzing.ENDPOINTS, *historify.ENDPOINTS)
TABLE = (*OWN, *older.ENDPOINTS)
FOR_EVERY_KEY = {"POST ping"}
KEYLESS = {"POST telegram/webhook"}
NO_ROW = {"GET openapi.json"}
"""Tells nothing about the instance and takes no key."""


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(tmp_path_factory.mktemp("home"), reconciled=False) as one:
        one.parts.limits.hit = lambda *_: None  # type: ignore[method-assign]
        yield one


@pytest.fixture(scope="module")
def keys(rig: Rig) -> dict[Scope, str]:
    """For each scope a key that has all the others."""
    return {one: rig.parts.keys.create(f"no {one}", ALL - {one})[1].reveal() for one in Scope}


@pytest.mark.parametrize("given", [["data"], ["trade", "read"], ["manage", "data", "data"], [*Scope]])
def test_words_are_kept_as_they_were_given(given):
    found = scopes.parsed(given)
    assert scopes.shown(found) == [one for one in Scope if one in given]
    assert scopes.read(scopes.stored(found)) == found


def test_a_key_for_everything_is_stored_as_that():
    assert scopes.stored(ALL) == "*"
    assert scopes.read("read nonsense") == {READ}
    assert scopes.read("") == frozenset()


@pytest.mark.parametrize("given", [[], ["admin"], ["data", "TRADE"]])
def test_no_scope_and_unknown_ones_are_refused(given):
    with pytest.raises(InvalidRequest, match="scope"):
        scopes.parsed(given)


def test_every_route_below_api_v1_is_in_the_table_and_names_a_scope(rig):
    rules = {
        f"{method} {rule.rule.removeprefix('/api/v1/').rstrip('/')}"
        for rule in rig.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules - NO_ROW == {name_of(one) for one in TABLE}
    assert {name_of(one) for one in TABLE if one.scope is None} == FOR_EVERY_KEY | KEYLESS


@pytest.mark.parametrize("endpoint", [one for one in TABLE if one.scope], ids=name_of)
def test_a_key_without_the_scope_is_refused_before_anything_is_done(rig, keys, endpoint):
    def never(parts, call):
        raise AssertionError("the handler was asked")

    kind = OlderDispatcher if endpoint in older.ENDPOINTS else Dispatcher
    guarded = replace(endpoint, handler=never)
    key = {"apikey": keys[endpoint.scope]}
    given: dict[str, Any] = {"query_string": key} if endpoint.method == "GET" else {"json": key}
    with rig.app.test_request_context("/", method=endpoint.method, **given):
        answer = kind(rig.parts).serve(guarded, AnyBody())
    body = answer.get_json()
    assert (answer.status_code, body["status"], body["code"]) == (403, "error", "SCOPE_MISSING")
    assert f"'{endpoint.scope}'" in body["error" if endpoint in older.ENDPOINTS else "message"]
    assert body["scope"] == endpoint.scope
    assert set(body["scopes"]) == ALL - {endpoint.scope}


@pytest.mark.parametrize(
    ("path", "scope"),
    [("funds", READ), ("intervals", DATA), ("cancelallorder", TRADE), ("analyzer", READ), ("panic", TRADE)],
)
def test_over_http_with_and_without_a_slash(rig, keys, path, scope):
    """Both ways in: Flask's, and the one beside it (``gateway.api.direct``)."""
    for form in (path, f"{path}/"):
        body = {"apikey": keys[scope], **({"strategy": "s"} if path == "cancelallorder" else {})}
        for client in (rig.app.test_client(), Flaskless(rig)):
            answer = client.post(f"/api/v1/{form}", json=body)
            assert (answer.status_code, answer.json["code"]) == (403, "SCOPE_MISSING")
    assert rig.app.test_client().post("/api/v1/ping", json={"apikey": keys[READ]}).status_code == 200


def test_who_may_trade_may_panic_but_not_end_one(rig, keys):
    """The kill switch stays where a person left it, whatever a strategy does."""
    trades = rig.parts.keys.create("trades", frozenset({TRADE}))[1].reveal()
    manages = rig.parts.keys.create("manages", frozenset({MANAGE}))[1].reveal()
    for client in (rig.app.test_client(), Flaskless(rig)):
        assert client.post("/api/v1/panic", json={"apikey": manages}).status_code == 403
        assert client.post("/api/v1/panic", json={"apikey": trades, "policy": "block"}).status_code == 200
        for key in (trades, keys[MANAGE]):
            given = {"apikey": key, "resume": True, "day_loss": True}
            answer = client.post("/api/v1/panic", json=given)
            assert (answer.status_code, answer.json["code"]) == (403, "SCOPE_MISSING")
            assert answer.json["scope"] == MANAGE
            state = rig.parts.desk.guards.panicked()
            assert state is not None
            assert state.active
        answer = client.post("/api/v1/panic", json={"apikey": manages, "resume": True})
        assert answer.json["entries"] == "allowed"
        assert not rig.parts.desk.guards.panicked().active


class Flaskless:
    """Posts past the gate, to Flask's own routes."""

    def __init__(self, rig: Rig) -> None:
        self._app = rig.app

    def post(self, path: str, json: dict[str, Any]) -> Any:
        with self._app.test_request_context(path, method="POST", json=json):
            answer = self._app.full_dispatch_request()
            return type("Answer", (), {"status_code": answer.status_code, "json": answer.get_json()})


def test_the_document_names_each_scope_and_the_code():
    document = openapi.document(OWN, older.ENDPOINTS)
    for endpoint in TABLE:
        path = "/" + endpoint.path.replace("<", "{").replace(">", "}")
        operation = document["paths"][path][endpoint.method.lower()]
        assert operation["x-scope"] == (endpoint.scope or "any")
        assert "SCOPE_MISSING" in operation["responses"]["403"]["description"]
    for scope, said in scopes.SAYS.items():
        assert f"{scope.value}: {said}" in document["info"]["description"]


def test_keys_are_made_with_scopes_and_without_they_have_all(rig):
    made = rig.internal("POST", "keys", {"label": "looks", "scopes": ["data", "read"]}).json
    whole = rig.internal("POST", "keys", {"label": "whole"}).json
    assert made["scopes"] == ["data", "read"]
    listed = {row["id"]: row["scopes"] for row in rig.internal("GET", "keys").json["keys"]}
    assert listed[made["id"]] == ["data", "read"]
    assert listed[whole["id"]] == [*Scope]
    refused = rig.internal("POST", "keys", {"label": "x", "scopes": ["root"]})
    assert (refused.status_code, refused.json["code"]) == (400, "INVALID_REQUEST")
    row = rig.parts.keys.verify(made["key"])
    assert row is not None
    assert row.scopes == {DATA, READ}


def test_the_settings_page_makes_and_shows_them(tmp_path: Path):
    with running(tmp_path, reconciled=False) as one:
        client = one.app.test_client()
        make_owner(one, client)
        fields = {"label": "a reader", "scope": ["data", "read"]}
        page = post(client, "/settings/keys", fields).get_data(as_text=True)  # type: ignore[arg-type]
        row = one.parts.keys.list()[-1]
        assert (row.label, row.scopes) == ("a reader", {DATA, READ})
        assert ">data, read<" in page
        none = post(client, "/settings/keys", {"label": "nothing"}).get_data(as_text=True)
        assert "A key needs at least one scope" in none
        assert 'value="nothing"' in none, "what was typed is lost"
        assert one.parts.keys.list()[-1].label == "a reader"


def test_what_kind_of_route_asks_for_what():
    asked = {name_of(one): one.scope for one in TABLE}
    for one in historify.ENDPOINTS:
        assert one.scope is (DATA if one.method == "GET" else MANAGE), name_of(one)
    assert {one.scope for one in TABLE if one.path in semiauto.QUEUED} == {TRADE}
    # what differs between the account and the sandbox is about the account
    assert {one.scope for one in TABLE if one.path in modes.BY_MODE} == {READ, TRADE}
    assert {one.scope for one in TABLE if one.path in MARKET_DATA} == {DATA}
    for name in ("analyzer/toggle", "analyzer/reset", "chart"):
        assert asked[f"POST {name}"] is MANAGE
    for name in ("strategy/lease", "panic", "closeposition"):
        assert asked[f"POST {name}"] is TRADE
