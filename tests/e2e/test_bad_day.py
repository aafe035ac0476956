"""Both brokers on a bad day, real processes: every fault on placing an order, an outage, a killed gateway.

Whatever happens: at most one broker order per intent, nothing called final that is not, "unknown" ended by
evidence alone, and no restart needed. The day runs once for both brokers; the tests read what happened.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from tests.e2e.fleet import Fleet, until
from tests.e2e.trader import NO_ANSWER, OUR_WORDS, Answer, Trader

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200), pytest.mark.xdist_group("bad_day")]
BOTH = ("kotak", "dhan")
BROKER_TIMEOUT_S = 1
LATE_S = 3.5
"""Beyond the timeout and beyond the caller's patience: the order arrives after the answer was given."""
SETTLE_S = 45.0
SETTINGS = {
    "BROKER_TIMEOUT_SECONDS": BROKER_TIMEOUT_S,
    "ORDER_RATE_LIMIT": "100 per second",
    "API_RATE_LIMIT": "200 per second",
    "ORDER_DEADLINE_SECONDS": 5,
}
IN_FLIGHT = 20

# a fault, what the caller is told at once, and whether the broker has the order in the end
LOST, FOUND = (504, "OUTCOME_UNKNOWN"), (200, None)
FAULTS: dict[str, tuple[dict[str, Any], tuple[tuple[int, str | None], ...], bool]] = {
    "drop_before": ({}, (LOST,), False),
    "500": ({"kind": "status", "code": 500}, (LOST,), False),
    "502": ({"kind": "status", "code": 502}, (LOST,), False),
    "delay": ({"delay_s": LATE_S}, (LOST,), True),
    # its tag is found while the caller still waits, or a moment later
    "drop_after": ({}, (FOUND, LOST), True),
    "garbage": ({}, (FOUND, LOST), True),
    "truncate": ({}, (FOUND, LOST), True),
    "429": ({"kind": "status", "code": 429, "retry_after_s": 1}, ((429, "RATE_LIMITED"),), False),
    "refuse_ip": ({"match": {}}, ((403, "IP_NOT_ALLOWED"),), False),
    # found out by a read of the gateway's own a moment before, the order may already have a new session
    "expire_token": ({"match": {}}, ((403, "AUTH_EXPIRED"), FOUND), False),
    "expired_session": ({}, ((403, "AUTH_EXPIRED"), FOUND), False),
    # nobody is known to look at repeated tags; one that does may speak of the order it has just made
    "repeated": ({}, ((400, "DUPLICATE_ORDER"), LOST), True),
    "duplicate": ({}, (LOST,), False),
    "connection_refused": ({}, ((503, "BROKER_DISCONNECTED"),), False),
}
UNKNOWN_FIRST = [name for name, (_, told, _) in FAULTS.items() if LOST in told]
REFUSED = ("429", "refuse_ip", "expire_token", "expired_session")


@dataclass
class Day:
    """What happened at one broker. ``told`` is the first answer of each fault's order."""

    trader: Trader
    price: float
    told: dict[str, Answer] = field(default_factory=dict)
    at_once: dict[str, str] = field(default_factory=dict)
    renewed: dict[str, tuple[int, int]] = field(default_factory=dict)
    after: dict[str, Answer] = field(default_factory=dict)
    settled: dict[str, dict[str, Any]] = field(default_factory=dict)
    again: dict[str, Answer] = field(default_factory=dict)
    orders_before_repeat: int = 0
    orders_after_repeat: int = 0

    def generation(self) -> int:
        return int(self.trader.ready()["broker_session"]["generation"])

    def await_login(self, above: int) -> int:
        """The instance has logged in again by itself; its new generation."""

        def newer() -> bool:
            found = self.trader.ready().get("broker_session", {})
            return found.get("state") == "valid" and found["generation"] > above

        until(newer, 20, f"{self.trader.name} logs in again")
        return self.generation()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init(*BOTH)
    for name in BOTH:
        path = one.home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + "".join(f"{k}={v}\n" for k, v in SETTINGS.items()))
    try:
        one.ok("up", *BOTH, "--sim", "-d")
        yield one
    finally:
        one.destroy()


def each(work: Callable[[Day], None], days: dict[str, Day]) -> None:
    """The same at both brokers, at the same time."""
    with ThreadPoolExecutor(len(days)) as pool:
        list(pool.map(work, days.values()))


@pytest.fixture(scope="module")
def days(fleet: Fleet) -> dict[str, Day]:
    traders = [Trader(fleet, name, fleet.key(name)) for name in BOTH]
    found = {t.name: Day(t, t.price()) for t in traders}
    each(refusing_hours, found)
    each(unknown_hours, found)
    outage(fleet, found)
    each(settle, found)
    each(repeat, found)
    return found


def unknown_hours(day: Day) -> None:
    """The faults that leave an outcome open, one after the other; none of them waits for the one before."""
    for name in UNKNOWN_FIRST:
        rule = FAULTS[name][0]
        day.trader.fault(**{"kind": name, **rule})
        told = day.told[name] = day.trader.place(f"bad-{name}", day.price)
        if told[0] == LOST[0]:
            day.at_once[name] = day.trader.status_of(f"J{told[1]['journal_id']}")
    late = day.trader.journal()["bad-delay"]["tag"]
    until(lambda: day.trader.behind(late), 10, "the delayed order at the broker")


def refusing_hours(day: Day) -> None:
    """The faults that are a clear no; after each of them the next order must work without anybody's help."""
    trader = day.trader
    for name in REFUSED:
        before = day.generation()
        if name == "expired_session":
            account = trader.ready()["broker_session"]["account"]
            trader.sim("POST", "expire", {"account": account})
        else:
            trader.fault(**{"kind": name, **FAULTS[name][0]})
        day.told[name] = trader.place(f"bad-{name}", day.price)
        if name.startswith("expire"):
            day.renewed[name] = before, day.await_login(before)
        day.after[name] = trader.place(f"after-{name}", day.price)


def outage(fleet: Fleet, days: dict[str, Day]) -> None:
    """Both simulated brokers are gone for a moment; the supervisor is held, so that it cannot help."""
    supervisor = psutil.Process(fleet.status()["supervisor"]["pid"])
    pids = {name: fleet.instance(name)["pids"]["sim"] for name in BOTH}
    supervisor.suspend()
    try:
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for pid in pids.values():
            until(lambda pid=pid: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 5, "a dead simulator")
        for day in days.values():
            day.told["connection_refused"] = day.trader.place("bad-connection_refused", day.price)
    finally:
        supervisor.resume()
    until(lambda: all(fleet.instance(name)["state"] == "ready" for name in BOTH), 30, "both ready again")
    for day in days.values():
        day.after["connection_refused"] = day.trader.place("after-connection_refused", day.price)


def is_settled(trader: Trader) -> bool:
    return all(row["state"] not in ("sending", "unknown") for row in trader.journal().values())


def settle(day: Day) -> None:
    until(lambda: is_settled(day.trader), SETTLE_S, f"{day.trader.name} settles")
    day.settled = day.trader.journal()


def repeat(day: Day) -> None:
    """Every order once more with its client_order_id."""
    day.orders_before_repeat = len(day.trader.at_broker())
    for client_order_id in day.settled:
        day.again[client_order_id] = day.trader.place(client_order_id, day.price)
    day.orders_after_repeat = len(day.trader.at_broker())


def check_truth(trader: Trader, rows: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Journal, order book and order status agree with the broker; orders at the broker by client id."""
    book = trader.book()
    counts: dict[str, int] = {}
    for client_order_id, row in rows.items():
        true = trader.behind(row["tag"])
        counts[client_order_id] = len(true)
        assert len(true) <= 1, f"{client_order_id} stands {len(true)} times at the broker"
        shown = trader.status_of(f"J{row['id']}")
        if true:
            said = OUR_WORDS[true[0]["status"]]
            assert row["order_id"] == true[0]["id"]
            assert (row["state"], shown, book[true[0]["id"]]) == (said, said, said), client_order_id
        else:
            assert (row["state"], shown) == ("rejected", "rejected"), client_order_id
            assert row["order_id"] is None
            assert f"J{row['id']}" not in book
    ours = {row["order_id"] for row in rows.values()} - {None}
    assert {order["id"] for order in trader.at_broker()} <= ours, "an order nobody asked for"
    return counts


# -- one order and one fault --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", BOTH)
def test_the_caller_is_told_what_is_known(days: dict[str, Day], name: str, fault: str) -> None:
    status, body = days[name].told[fault]
    assert (status, body.get("code")) in FAULTS[fault][1], body
    if (status, body.get("code")) == LOST:
        assert body["order_status"] == "unknown"
        assert days[name].at_once[fault] in ("unknown", "open"), "nothing final before there is evidence"


@pytest.mark.parametrize("name", BOTH)
def test_a_duplicate_is_told_with_the_order_there_is(days: dict[str, Day], name: str) -> None:
    status, body = days[name].told["repeated"]
    row = days[name].settled["bad-repeated"]
    if (status, body["code"]) != LOST:
        assert (body["orderid"], body["order_status"]) == (row["order_id"], "open")
        assert row["order_id"] in body["message"]


@pytest.mark.parametrize("name", BOTH)
def test_only_evidence_ends_unknown(days: dict[str, Day], name: str) -> None:
    day = days[name]
    for fault in ("drop_before", "500", "502", "duplicate"):
        assert day.at_once[fault] == "unknown"
        assert "three readings" in day.settled[f"bad-{fault}"]["reason"]
    assert day.at_once["delay"] == "unknown"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", BOTH)
def test_the_broker_has_the_order_once_or_not_at_all(days: dict[str, Day], name: str, fault: str) -> None:
    day = days[name]
    row = day.settled[f"bad-{fault}"]
    found = day.trader.behind(row["tag"])
    told = day.told[fault][0]
    assert len(found) == int(FAULTS[fault][2] or told == FOUND[0])
    assert row["state"] == ("open" if found else "rejected")


@pytest.mark.parametrize("name", BOTH)
def test_journal_books_and_broker_agree(days: dict[str, Day], name: str) -> None:
    day = days[name]
    counts = check_truth(day.trader, day.trader.journal())
    assert set(counts) >= {f"bad-{fault}" for fault in FAULTS}


@pytest.mark.parametrize("fault", [*REFUSED, "connection_refused"])
@pytest.mark.parametrize("name", BOTH)
def test_the_next_order_works_without_a_restart(days: dict[str, Day], name: str, fault: str) -> None:
    status, body = days[name].after[fault]
    assert (status, body["status"]) == (200, "success"), body


@pytest.mark.parametrize("name", BOTH)
def test_an_ended_session_is_renewed_by_itself(days: dict[str, Day], fleet: Fleet, name: str) -> None:
    for fault, (before, now) in days[name].renewed.items():
        assert now == before + 1, f"{fault}: one login for one ended session"
    api = fleet.instance(name)
    assert api["broker_session"]["state"] == "valid"


@pytest.mark.parametrize("name", BOTH)
def test_a_repeat_gets_the_first_answer_and_makes_no_order(days: dict[str, Day], name: str) -> None:
    day = days[name]
    assert day.orders_after_repeat == day.orders_before_repeat
    for client_order_id, (status, body) in day.again.items():
        row = day.settled[client_order_id]
        if body.get("code") == "DUPLICATE_ORDER":
            assert client_order_id == "bad-repeated"
            assert (status, body["orderid"], body["repeated"]) == (400, row["order_id"], True)
        elif row["order_id"]:
            assert (status, body["orderid"], body["repeated"]) == (200, row["order_id"], True)
        else:
            assert (status != 200, body["journal_id"], body["repeated"]) == (True, row["id"], True)
            assert "use a new one" in body["message"]


# -- the gateway dies ---------------------------------------------------------------------------------------


def test_a_gateway_killed_with_orders_in_flight_loses_and_doubles_nothing(
    days: dict[str, Day], fleet: Fleet
) -> None:
    pids = {name: fleet.instance(name)["pids"]["api"] for name in BOTH}
    answers: dict[str, dict[str, Answer]] = {}

    def kill(day: Day) -> None:
        trader = day.trader
        answers[trader.name] = in_flight(day, pids[trader.name])
        until(lambda: trader.ready().get("ready"), 30, f"{trader.name} is back")
        until(lambda: is_settled(trader), SETTLE_S, f"{trader.name} settles")

    each(kill, days)
    for name, day in days.items():
        trader = day.trader
        assert fleet.instance(name)["pids"]["api"] != pids[name]
        assert NO_ANSWER in {status for status, _ in answers[name].values()}, "the kill hit nobody"
        rows = {c: row for c, row in trader.journal().items() if c.startswith("kill-")}
        tags = {row["tag"] for row in trader.journal().values()}
        for order in trader.at_broker():
            assert any(order["tag"].startswith(tag) for tag in tags), f"{name}: not in the journal: {order}"
        counts = check_truth(trader, trader.journal())
        for client_order_id, (status, body) in answers[name].items():
            if status == 200:
                assert rows[client_order_id]["order_id"] == body["orderid"]
        # the strategy asks again for what it got no answer to: what the broker has is not sent again
        for client_order_id in answers[name]:
            status, body = trader.place(client_order_id, day.price)
            if counts.get(client_order_id):
                assert (status, body["orderid"]) == (200, rows[client_order_id]["order_id"])
        check_truth(trader, trader.journal())


def in_flight(day: Day, pid: int) -> dict[str, Answer]:
    """Post orders from as many threads, and kill the api process while the broker holds back answers."""
    trader = day.trader
    before = len(trader.at_broker())
    # the broker takes these and answers nothing for a while
    trader.fault("drop_after", count=4, delay_s=0.8)
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        posts = {c: pool.submit(trader.place, c, day.price) for c in (f"kill-{n}" for n in range(IN_FLIGHT))}
        until(lambda: len(trader.at_broker()) >= before + 5, 10, "orders at the broker")
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        found = {c: post.result() for c, post in posts.items()}
        assert time.monotonic() - killed < 15
    return found
