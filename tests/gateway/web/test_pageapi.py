"""What the scripts of the pages may ask: with a session and a form token, of the services behind /api/v1."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient

from brokers.clock import IST
from brokers.model import InstrumentKey, OrderStatus
from gateway.tickets import Tickets, seat_of
from gateway.web.lookup import Lookup
from gateway.web.watchlists import MOST_LISTS, MOST_SYMBOLS
from tests.gateway.api.rig import FREE, ORDER, Rig, position, running
from tests.gateway.web.people import make_owner, sign_in

MUTATING = [
    ("POST", "feed-ticket"),
    ("POST", "call/placeorder"),
    ("POST", "call/funds"),
    ("POST", "orders/cancel"),
    ("POST", "positions/exit"),
    ("PUT", "lists"),
    ("POST", "orders/1/resolve"),
    ("POST", "order-mode"),
    ("DELETE", "strategies/x"),
]
READING = [
    "log",
    "traffic",
    "strategies/overview",
    "state",
    "books",
    "day-line",
    "search?q=sbi",
    "lists",
    "orders/unknown",
    "strategies",
    "approvals",
]


@pytest.fixture(scope="module")
def traded(tmp_path_factory) -> Any:
    with running(tmp_path_factory.mktemp("home")) as one:
        make_owner(one)
        yield one


class Page:
    """A signed-in page: its cookie and its token."""

    def __init__(self, rig: Rig) -> None:
        self.client: FlaskClient = sign_in(rig)
        text = self.client.get("/settings").get_data(as_text=True)
        found = re.search(r'name="csrf-token" content="(\w+)"', text)
        assert found is not None
        self.token = found[1]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {"X-CSRF-Token": self.token, **{n.replace("_", "-"): v for n, v in headers.items()}}
        return self.client.open(f"/web/api/{path}", method=method, json=body, headers=named)


@pytest.fixture
def page(traded: Rig) -> Page:
    return Page(traded)


@pytest.mark.parametrize(("method", "path"), [*MUTATING, *(("GET", path) for path in READING)])
def test_nobody_else_is_answered(traded, method, path):
    answer = traded.app.test_client().open(f"/web/api/{path}", method=method, json={})
    assert (answer.status_code, answer.json["code"]) == (401, "SIGN_IN_REQUIRED")


@pytest.mark.parametrize(("method", "path"), MUTATING)
@pytest.mark.parametrize("token", ["", "0" * 64])
def test_a_cookie_alone_changes_nothing(traded, page, method, path, token):
    calls = list(traded.rest.calls)
    answer = page.ask(method, path, ORDER, X_CSRF_Token=token)
    assert (answer.status_code, answer.json["code"]) == (403, "FORM_OUT_OF_DATE")
    assert traded.rest.calls == calls


@pytest.mark.parametrize("path", READING)
def test_another_site_reads_nothing(page, path):
    assert page.ask("GET", path).status_code == 200
    assert page.ask("GET", path, Sec_Fetch_Site="cross-site").status_code == 403
    assert page.ask("GET", path, Origin="http://127.0.0.1:1").status_code == 403


def test_a_call_is_the_endpoint_of_the_public_api(traded, page):
    for path, body in (("funds", {}), ("quotes", {"symbol": "SBIN", "exchange": "NSE"}), ("intervals", {})):
        assert page.ask("POST", f"call/{path}", body).json == traded.post(path, **body).json
    wrong = page.ask("POST", "call/placeorder", {**ORDER, "quantity": "0"})
    assert wrong.status_code == 400
    assert "quantity" in wrong.get_data(as_text=True)
    assert page.ask("POST", "call/nosuch", {}).status_code == 404
    assert page.ask("POST", "call/placeorder", []).status_code == 400
    assert page.ask("POST", "call/portfolio/backtest", {}).status_code == 404


def test_an_order_by_hand_leaves_also_while_programs_are_held_back(traded, page):
    traded.internal("POST", "order-mode", {"mode": "semi_auto"})
    try:
        placed = len(traded.rest.placed)
        assert "pending_order_id" in traded.place().json
        assert len(traded.rest.placed) == placed
        assert page.ask("POST", "call/placeorder", ORDER).json["orderid"]
        assert len(traded.rest.placed) == placed + 1
    finally:
        traded.internal("POST", "order-mode", {"mode": "auto"})


def test_the_settings_page_speaks_as_a_trader_does(traded, page):
    """Every time in IST, and what waits by its name among people."""
    traded.internal("POST", "order-mode", {"mode": "semi_auto"})
    try:
        assert "pending_order_id" in traded.place().json
        row = traded.internal("GET", "approvals").json["orders"][0]
        assert (row["kind"], row["what"]) == ("placeorder", "order")
        shown = page.client.get("/settings").get_data(as_text=True)
        assert '<td data-label="Kind">order</td>' in shown
        assert "UTC" not in shown
        made = traded.parts.keys.list()[0].created_at.astimezone(IST)
        assert f'<td data-label="Made">{made:%d %b %Y %H:%M} IST</td>' in shown
        ends = traded.parts.session.status().expires_at.astimezone(IST)
        assert f"<dd>{ends:%d %b %Y %H:%M} IST</dd>" in shown
        assert re.search(r"<dt>Loaded</dt><dd>\d\d \w{3} \d{4} \d\d:\d\d IST</dd>", shown)
    finally:
        for row in traded.internal("GET", "approvals").json["orders"]:
            traded.internal("POST", f"approvals/{row['id']}/reject")
        traded.internal("POST", "order-mode", {"mode": "auto"})


def test_some_orders_are_cancelled_and_each_is_told_of(traded, page):
    one, two, kept = (traded.place().json["orderid"] for _ in range(3))
    answer = page.ask("POST", "orders/cancel", {"orderids": [one, two, "999"]})
    assert answer.json == {"status": "success", "done": [one, two], "failed": []}
    assert traded.rest.book[kept].status is OrderStatus.OPEN
    assert page.ask("POST", "orders/cancel", {"orderids": []}).status_code == 400


def test_some_positions_are_closed(traded, page):
    traded.rest.position_rows = [
        position(InstrumentKey("NSE", "SBIN"), 7),
        position(InstrumentKey("NSE", "TCS"), 9),
    ]
    placed = len(traded.rest.placed)
    rows = [{"exchange": "NSE", "symbol": "SBIN", "product": "MIS"}]
    assert page.ask("POST", "positions/exit", {"positions": rows}).json["status"] == "success"
    sent = [
        (order.key.symbol, order.action.value, order.quantity) for order, _, _ in traded.rest.placed[placed:]
    ]
    assert sent == [("SBIN", "SELL", 7)]
    traded.rest.position_rows = []


def test_lists_are_kept_per_owner_and_bounded(page):
    lists = [{"name": "Banks", "symbols": [{"exchange": "NSE", "symbol": "SBIN"}]}]
    assert page.ask("PUT", "lists", {"lists": lists}).status_code == 200
    assert page.ask("GET", "lists").json == {"lists": lists}
    one = lists[0]["symbols"][0]
    for wrong in (
        [],
        [{"name": "", "symbols": []}],
        [{"name": "x", "symbols": [one] * (MOST_SYMBOLS + 1)}],
        lists * (MOST_LISTS + 1),
    ):
        assert page.ask("PUT", "lists", {"lists": wrong}).status_code == 400
    assert page.ask("GET", "lists").json == {"lists": lists}


def test_a_ticket_is_for_this_web_session(traded, page):
    given = page.ask("POST", "feed-ticket").json
    assert given["port"] == traded.parts.settings.ws_port
    visitor = Tickets(traded.parts.settings.internal_key, traded.parts.clock).redeem(given["ticket"])
    assert visitor is not None
    with page.client.session_transaction() as session:
        assert visitor.seat == seat_of(session["sid"])


def test_pages_have_a_rate_limit_that_costs_strategies_nothing(tmp_path):
    with running(tmp_path, rates=replace(FREE, api="3 per minute"), reconciled=False) as rig:
        make_owner(rig)
        page = Page(rig)
        statuses = [page.ask("POST", "call/ping", {}).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert rig.post("ping").status_code == 200


@pytest.mark.parametrize(
    ("query", "first", "how_many"),
    [
        ("sbi", "SBIN", 2),
        ("SBICARD", "SBICARD", 1),
        ("sbin ltd", "SBIN", 1),
        ("nifty fut", "NIFTY", 2),
        ("104", "M&M", 1),
        ("", None, 0),
        ("nothing here", None, 0),
        ("\t\n", None, 0),
    ],
)
def test_search_as_you_type_ranks_as_the_table_does(traded, query, first, how_many):
    found = Lookup(traded.parts.instruments).find(query, None, 60)
    assert len(found) == how_many
    if first is not None:
        assert found[0].key.symbol.startswith(first)
        assert [row.key for row in found] == [row.key for row in traded.parts.instruments.search(query)]


def test_search_sees_a_new_table(traded):
    lookup = Lookup(traded.parts.instruments)
    assert lookup.find("ZOMATO", None, 5) == []
    rows = traded.source.rows
    traded.source.rows = [*rows, replace(rows[0], key=InstrumentKey("NSE", "ZOMATO"), token="777")]
    traded.parts.sync.sync()
    deadline = time.monotonic() + 2
    while not lookup.find("ZOMATO", None, 5):
        assert time.monotonic() < deadline


def test_search_in_one_exchange(traded):
    lookup = Lookup(traded.parts.instruments)
    assert {row.key.exchange for row in lookup.find("nifty", "NFO", 60)} == {"NFO"}


def test_strategies_show_what_their_fills_are_worth(traded, page):
    for action, price in (("BUY", 100), ("SELL", 110)):
        body = {**ORDER, "strategy": "momentum", "action": action}
        order_id = page.ask("POST", "call/placeorder", body).json["orderid"]
        order = traded.rest.book[order_id]
        done = {"status": OrderStatus.COMPLETE, "filled_quantity": order.quantity}
        traded.rest.book[order_id] = replace(order, average_price=Decimal(price), **done)
    traded.parts.desk.books.forget()
    rows = {one["strategy"]: one for one in page.ask("GET", "strategies/overview").json["strategies"]}
    assert (rows["momentum"]["orders"], rows["momentum"]["filled"], rows["momentum"]["open"]) == (2, 2, 0)
    assert rows["momentum"]["pnl"] == 10.0 * order.quantity


def test_a_script_reaches_the_store_and_learns_how_each_day_stands(page):
    assert page.ask("GET", "call/historify/jobs").json["data"] == []
    asked = "store/days?exchange=NSE&symbol=SBIN&interval=D&start_date=2026-01-01&end_date="
    days = page.ask("GET", f"{asked}2026-02-01").json["days"]
    assert set(days.values()) == {"missing"}
    assert len(days) >= 20
    assert min(days) >= "2026-01-01"
    assert page.ask("GET", f"{asked}2029-02-01").status_code == 400, "not without end"
