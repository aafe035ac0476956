"""The route's address: keys, ids, books of several instances, what it does not do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from flask.testing import FlaskClient

from brokers.venue import Venue
from supervisor.routing.api import DATA, INSTEAD, Route
from supervisor.routing.app import create
from supervisor.routing.config import Config
from supervisor.routing.keys import RouteKeys
from supervisor.routing.link import Loopback
from supervisor.routing.model import Lost, NotSent
from supervisor.routing.watch import Watch
from tests.supervisor.routing.fleet import World

KEY = "k" * 64
ORDER = {"strategy": "t", "exchange": "NSE", "symbol": "SBIN", "action": "BUY", "quantity": "1"}


class Others:
    """Requests other than new orders, answered from ``say[name][endpoint]``."""

    def __init__(self) -> None:
        self.say: dict[str, dict[str, Any]] = {"dhan": {}, "kotak": {}}
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def carry_out(self, name: str, endpoint: str, body: dict[str, Any], mode: str = "") -> tuple[int, Any]:
        self.asked.append((name, endpoint, body))
        found = self.say[name].get(endpoint, (200, {"status": "success"}))
        if isinstance(found, Exception):
            raise found
        return cast("tuple[int, Any]", found)


class Quiet:
    def silent(self) -> dict[str, str]:
        return {"kotak": "no connection"}


class Rig:
    def __init__(self, folder: Path) -> None:
        self.world, self.others = World(folder), Others()
        keys = RouteKeys(folder)
        keys.add("test", KEY, "dhan", 1)
        config = Config(folder, Venue.SIM, 5052, ("dhan", "kotak"), "kotak", ("localhost",))
        self.pool = ThreadPoolExecutor(4)
        link, watch = cast(Loopback, self.others), cast(Watch, Quiet())
        self.route = Route(config, keys, self.world.journal, self.world.route, link, watch, self.pool)
        self.client: FlaskClient = create(self.route).test_client()

    def post(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        return self.client.post(f"/api/v1/{path}", json={"apikey": KEY, **body}, headers=headers)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    one = Rig(tmp_path)
    yield one
    one.pool.shutdown()


def test_without_a_key_of_the_route_nothing_happens(rig: Rig) -> None:
    for key in ("", "x" * 64):
        answer = rig.post("placeorder", apikey=key, **ORDER)
        assert (answer.status_code, answer.json["code"]) == (403, "INVALID_API_KEY")
    assert rig.world.journal.counts() == {}
    for raw in (b"", b"{", b"[]", b"\xff"):
        assert rig.client.post("/api/v1/placeorder", data=raw).json["code"] == "INVALID_REQUEST"


def test_another_page_and_another_host_are_kept_out(rig: Rig) -> None:
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert rig.post("placeorder", headers=headers, **ORDER).status_code == 403
    assert rig.world.journal.counts() == {}


def test_an_order_gets_an_id_whose_instance_can_be_read(rig: Rig) -> None:
    answer = rig.post("placeorder/", **ORDER)
    assert answer.status_code == 200
    made = answer.json["client_order_id"]
    assert answer.json["orderid"] == f"dhan:1{made}"
    again = rig.post("placeorder", headers={"Idempotency-Key": made}, **ORDER)
    assert (again.json["orderid"], again.json["repeated"]) == (answer.json["orderid"], True)
    both = rig.post("placeorder", headers={"Idempotency-Key": "x"}, client_order_id="y", **ORDER)
    assert (both.status_code, both.json["code"]) == (400, "INVALID_REQUEST")
    for wrong in ({"symbol": None}, {"exchange": 5}, {"client_order_id": []}, {"client_order_id": "x" * 65}):
        assert rig.post("placeorder", **{**ORDER, **wrong}).json["code"] == "INVALID_REQUEST"


def test_what_follows_an_order_goes_to_its_instance(rig: Rig) -> None:
    rig.others.say["kotak"]["orderstatus"] = (200, {"status": "success", "data": {"orderid": "9"}})
    found = rig.post("orderstatus", orderid="kotak:9").json
    assert (found["data"]["orderid"], found["data"]["instance"]) == ("kotak:9", "kotak")
    assert rig.others.asked == [("kotak", "orderstatus", {"orderid": "9"})]
    for wrong in ("9", "third:9", "kotak:", "R0", "R99", ""):
        answer = rig.post("cancelorder", orderid=wrong)
        assert (answer.status_code, answer.json["code"]) == (404, "ORDER_NOT_FOUND"), wrong


def test_an_order_without_an_id_is_found_by_its_number(rig: Rig) -> None:
    rig.world.link.script, rig.world.link.deaf = [("lost after", "fine")], 10_000
    assert rig.post("placeorder", client_order_id="a", **ORDER).json["orderid"] == "R1"
    unknown = rig.post("orderstatus", orderid="R1")
    assert (unknown.status_code, unknown.json["code"]) == (504, "OUTCOME_UNKNOWN")
    rig.world.link.deaf = 0
    assert rig.post("cancelorder", orderid="R1").status_code == 200
    assert rig.others.asked == [("dhan", "cancelorder", {"orderid": "1a"})]
    rig.world.link.script = [("refused", "fine")]
    rig.post("placeorder", client_order_id="b", **ORDER)
    assert "never became an order" in rig.post("orderstatus", orderid="R2").json["message"]


def test_a_change_without_an_answer_is_unknown_and_not_repeated(rig: Rig) -> None:
    rig.others.say["dhan"]["modifyorder"] = Lost("reset")
    answer = rig.post("modifyorder", orderid="dhan:9")
    assert (answer.status_code, answer.json["code"], answer.json["orderid"]) == (
        504,
        "OUTCOME_UNKNOWN",
        "dhan:9",
    )
    assert len(rig.others.asked) == 1
    rig.others.say["dhan"]["modifyorder"] = NotSent("refused")
    assert rig.post("modifyorder", orderid="dhan:9").json["code"] == "ROUTE_NOT_SENT"


def test_books_are_of_all_or_of_none(rig: Rig) -> None:
    for name, price in (("dhan", 1.5), ("kotak", 2.5)):
        data = {"orders": [{"orderid": "7"}], "statistics": {"total_buy_orders": price}, "as_of": name}
        rig.others.say[name]["orderbook"] = (200, {"status": "success", "data": data})
        rig.others.say[name]["openposition"] = (200, {"status": "success", "quantity": 3})
    book = rig.post("orderbook").json["data"]
    assert [(row["orderid"], row["instance"]) for row in book["orders"]] == [
        ("dhan:7", "dhan"),
        ("kotak:7", "kotak"),
    ]
    assert (book["statistics"], book["as_of"]) == ({"total_buy_orders": 4.0}, "dhan")
    assert rig.post("openposition").json["quantity"] == 6
    rig.others.say["kotak"]["openposition"] = NotSent("refused")
    half = rig.post("openposition")
    assert (half.status_code, half.json["code"]) == (503, "NO_ROUTE")
    rig.others.say["kotak"]["openposition"] = (200, {"status": "success", "quantity": 3, "mode": "analyze"})
    mixed = rig.post("openposition")
    assert (mixed.status_code, "live and paper do not mix" in mixed.json["message"]) == (409, True)


def test_cancelling_everything_says_what_is_not_known(rig: Rig) -> None:
    done = {"status": "success", "canceled_orders": ["7"], "failed_cancellations": []}
    rig.others.say["dhan"]["cancelallorder"] = (200, done)
    rig.others.say["kotak"]["cancelallorder"] = Lost("reset")
    found = rig.post("cancelallorder").json
    assert (found["status"], found["canceled_orders"]) == ("partial", ["dhan:7"])
    assert [row["orderid"] for row in found["failed_cancellations"]] == ["kotak:*"]
    rig.others.say["dhan"]["closeposition"] = (400, {"status": "error", "message": "no"})
    rig.others.say["kotak"]["closeposition"] = NotSent("refused")
    none = rig.post("closeposition")
    assert (none.status_code, none.json["status"], len(none.json["failed_closures"])) == (503, "error", 2)


def test_data_comes_from_one_and_the_rest_says_what_to_do(rig: Rig) -> None:
    for path in DATA:
        rig.post(path)
    assert {name for name, _, _ in rig.others.asked} == {"kotak"}
    for path, step in INSTEAD.items():
        answer = rig.post(path)
        assert (answer.status_code, answer.json["code"]) == (501, "NOT_SUPPORTED")
        assert step in answer.json["message"]
    assert rig.post("analyzer/toggle").status_code == 501
    assert rig.client.get("/api/v1/placeorder", headers={"X-API-KEY": KEY}).status_code == 501
    assert rig.post("ping").json["data"]["instances"] == ["dhan", "kotak"]


def test_health_counts_what_is_open_and_names_who_is_silent(rig: Rig) -> None:
    rig.world.link.script, rig.world.link.deaf = [("lost after", "fine")], 10_000
    rig.post("placeorder", **ORDER)
    answer = rig.client.get("/health/ready")
    assert answer.status_code == 200
    assert (answer.json["state"], answer.json["waiting_for"]) == ("1-open", ["kotak (no connection)"])
