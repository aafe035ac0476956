"""The lease endpoint and what the order endpoints make of it, as programs and the operator meet them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from brokers.model import InstrumentKey, Position
from gateway import app as web_app
from gateway.api.parts import Parts
from gateway.strategies.leasefile import Gatekeeper, LeaseFile
from tests.gateway.api.rig import Rig, running

ORDER = {
    "exchange": "NSE",
    "symbol": "SBIN",
    "action": "BUY",
    "quantity": 1,
    "product": "MIS",
    "pricetype": "LIMIT",
    "price": 800,
}


class Leasing:
    """A rig whose desk asks a lease file."""

    def __init__(self, rig: Rig) -> None:
        parts = rig.parts
        file = LeaseFile(parts.settings.run_dir / "leases.db", parts.clock)
        door = Gatekeeper(file, parts.clock, parts.settings.name)
        desk_parts = replace(parts.desk._parts, objection=door.objection)
        parts.desk.guards._parts = desk_parts
        self.rig, self.file = rig, file
        self.parts = replace(parts, leases=file)
        self.client = self.app(self.parts)
        self.own = {"X-Algo-Internal": parts.settings.internal_key.reveal()}

    def app(self, parts: Parts) -> FlaskClient:
        return web_app.create(parts, self.rig.code, self.rig.live._sessions, self.rig.live).test_client()

    def ask(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        answer = self.client.post(f"/api/v1/{path}", json={"apikey": self.rig.key, **body})
        return answer.status_code, answer.json

    def lease(self, strategy: str, **body: Any) -> tuple[int, dict[str, Any]]:
        return self.ask("strategy/lease", strategy=strategy, **body)

    def order(self, strategy: str, **more: Any) -> tuple[int, dict[str, Any]]:
        return self.ask("placeorder", **{**ORDER, "strategy": strategy, **more})


@pytest.fixture(scope="module")
def leasing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leasing]:
    with running(tmp_path_factory.mktemp("home")) as rig:
        yield Leasing(rig)


def test_acquire_trade_renew_release(leasing):
    assert leasing.order("plain")[0] == 200
    status, got = leasing.lease("one", holder="cron 17", ttl=60)
    assert (status, got["state"], got["epoch"], got["instance"]) == (200, "held", 1, "dhan")
    token = got["lease"]
    assert leasing.order("one", strategy_lease=token)[0] == 200
    status, refused = leasing.order("one")
    assert (status, refused["code"], refused["holder"]) == (409, "STRATEGY_LEASE_HELD", "cron 17")
    assert refused["next_step"]
    assert refused["retry_after"] <= 60
    assert leasing.lease("one", action="renew", lease=token, ttl=60)[1]["lease"] == token
    shown = leasing.lease("one", action="show")[1]
    assert shown["state"] == "held"
    assert token not in str(shown)
    assert leasing.lease("one", action="release", lease=token)[1]["state"] == "free"
    assert leasing.order("one")[0] == 200


def test_a_takeover_names_the_epoch_and_fences_the_old_copy(leasing):
    old = leasing.lease("two", holder="a")[1]["lease"]
    status, refused = leasing.lease("two", holder="b")
    assert (status, refused["code"], refused["epoch"]) == (409, "STRATEGY_LEASE_HELD", 1)
    assert leasing.lease("two", holder="b", takeover=7)[0] == 409
    new = leasing.lease("two", holder="b", takeover=refused["epoch"])[1]["lease"]
    assert leasing.order("two", strategy_lease=old)[1]["code"] == "STRATEGY_LEASE_LOST"
    assert leasing.lease("two", action="renew", lease=old)[1]["code"] == "STRATEGY_LEASE_LOST"
    assert leasing.order("two", strategy_lease=new)[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("placeorder", ORDER),
        ("placesmartorder", {**ORDER, "position_size": 5}),
        ("basketorder", {"orders": [ORDER]}),
        ("splitorder", {**ORDER, "quantity": 2, "splitsize": 2}),
        (
            "placegttorder",
            {**ORDER, "product": "CNC", "trigger_type": "SINGLE", "triggerprice_sl": 700, "price": 699},
        ),
        ("orders/place", {"exchange": "NSE", "symbol": "SBIN", "action": "BUY", "quantity": 1,
                          "product": "MIS", "price_type": "LIMIT", "price": 800}),
    ],
)  # fmt: skip
def test_every_way_in_asks_for_the_lease_and_takes_it(leasing, path, body):
    strategy = f"way {path}"
    token = leasing.lease(strategy, holder="a")[1]["lease"]
    _, refused = leasing.ask(path, **body, strategy=strategy)
    assert "STRATEGY_LEASE_HELD" in str(refused), refused
    status, taken = leasing.ask(path, **body, strategy=strategy, strategy_lease=token)
    assert status == 200, taken
    assert "STRATEGY_LEASE" not in str(taken), taken


def test_an_exit_through_the_api_passes_and_one_more_does_not(leasing):
    leasing.lease("exits", holder="a")
    key = InstrumentKey("NSE", "SBIN")
    leasing.rig.rest.position_rows = [Position(key, "MIS", 3, Decimal(800), Decimal(800), Decimal(0))]
    assert leasing.order("exits", action="SELL", quantity=4)[0] == 409
    assert leasing.order("exits", action="SELL", quantity=3)[0] == 200
    assert leasing.order("exits", action="SELL", quantity=3)[0] == 409
    leasing.rig.rest.position_rows = []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "holder"),
        ({"action": "renew"}, "lease"),
        ({"action": "release"}, "lease"),
        ({"holder": "a", "ttl": 4}, "ttl"),
        ({"holder": "a", "ttl": 3601}, "ttl"),
        ({"holder": "a", "force": True}, "force"),
        ({"holder": "a", "action": "steal"}, "action"),
    ],
)
def test_a_wrong_question_names_its_field(leasing, body, field):
    status, answer = leasing.lease("wrong", **body)
    assert (status, list(answer["message"])) == (400, [field])


def test_the_operator_sees_marks_and_frees(leasing):
    leasing.lease("four/five", holder="a")
    rows = leasing.client.get("/internal/leases", headers=leasing.own).json["leases"]
    assert "four/five" in [row["strategy"] for row in rows]
    marked = leasing.client.post(
        "/internal/leases/four%2Ffive/exclusive", json={"exclusive": "lease"}, headers=leasing.own
    )
    assert (marked.json["exclusive"], marked.json["state"]) == ("lease", "held")
    freed = leasing.client.delete("/internal/leases/four%2Ffive", headers=leasing.own)
    assert freed.json["state"] == "free"
    assert leasing.order("four/five")[1]["code"] == "STRATEGY_LEASE_REQUIRED"
    assert leasing.client.get("/internal/leases").status_code == 403


def test_without_the_role_control_no_leases_are_given(leasing):
    settings = leasing.parts.settings
    less = replace(settings, day=replace(settings.day, roles=frozenset({"feed", "execute"})))
    client = leasing.app(replace(leasing.parts, settings=less))
    body = {"apikey": leasing.rig.key, "strategy": "nobody", "holder": "a"}
    answer = client.post("/api/v1/strategy/lease", json=body)
    assert (answer.status_code, answer.json["code"]) == (403, "ROLE_MISSING")


def test_health_tells_the_day_the_roles_and_that_the_broker_took_the_session(leasing):
    body = leasing.client.get("/health/ready").json
    assert body["roles"] == ["control", "execute", "feed"]
    assert body["broker_day"]["phase"] == "running"
    ends = datetime.fromisoformat(body["broker_session"]["expires_at"]).replace(microsecond=0)
    assert datetime.fromisoformat(body["broker_day"]["rolls_over_at"]) == ends
    assert body["broker_session"]["present"] is True
    assert body["broker_session"]["accepted_at"] is not None
    assert body["egress"]["state"] == "off"
