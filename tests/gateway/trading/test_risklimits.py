"""The limits that hold now: the env file's, changed by the owner, kept over a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.clock import SystemClock
from brokers.errors import RiskLimit
from brokers.model import Position, Venue
from gateway.settings.risk import NO_RULES, READERS, RiskRules, SquareOff
from gateway.store import engine
from gateway.store.riskchanges import RiskChanges
from gateway.trading.risklimits import FIELD_OF, RiskBook, RiskLimits, Stale, is_looser, parsed, texts
from tests.gateway.trading.desks import SBIN, Bench, until

D = Decimal
ENV = RiskRules(
    max_order_value=D(500000),
    max_quantity=50,
    exchanges=frozenset({"NSE", "NFO"}),
    day_loss=D(25000),
    day_loss_close=True,
    check_margin=True,
    square_off=SquareOff(at=time(15, 15)),
)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[engine.Database]:
    one = engine.open(tmp_path / "one.db", Venue.SIM)
    yield one
    one.close()


def limits(database: engine.Database, env: RiskRules = ENV) -> RiskLimits:
    return RiskLimits(env, RiskChanges(database, SystemClock()))


def change(one: RiskLimits, **given: str) -> None:
    plan = one.plan({f"RISK_{name}": text for name, text in given.items()}, one.seen)
    assert not plan.errors
    one.apply(plan, "asha")


def test_every_rule_has_its_setting_and_its_text_is_read_back():
    assert set(READERS) == set(RiskRules.__slots__)
    for rules in (
        NO_RULES,
        ENV,
        replace(ENV, square_off=SquareOff(before_close_m=15), margin_unknown="allow"),
    ):
        for name, text in texts(rules).items():
            assert parsed(name, text) == getattr(rules, FIELD_OF[name]), name


def test_a_change_holds_at_once_and_after_a_restart_and_is_kept_for_good(database):
    one = limits(database)
    heard = []
    one.book.listen(lambda: heard.append(one.now.max_quantity))
    change(one, MAX_ORDER_QUANTITY="4", PRODUCTS="mis, cnc")
    assert heard == [4]
    assert one.now == replace(ENV, max_quantity=4, products=frozenset({"MIS", "CNC"}))
    again = limits(database)
    assert again.now == one.now
    override = again.override("RISK_MAX_ORDER_QUANTITY")
    assert override is not None
    assert (override.who, override.value, override.before, override.env) == ("asha", "4", "50", "50")
    with database.read() as connection:
        path = connection.exec_driver_sql("PRAGMA database_list").first()[2]
    for statement in ("UPDATE risk_changes SET who = 'nobody'", "DELETE FROM risk_changes"):
        with sqlite3.connect(path) as raw, pytest.raises(sqlite3.IntegrityError, match="append-only"):
            raw.execute(statement)


def test_an_empty_text_is_no_limit_and_the_env_files_text_is_no_override(database):
    one = limits(database)
    change(one, MAX_ORDER_QUANTITY="", MAX_OPEN_ORDERS="7")
    assert (one.now.max_quantity, one.now.max_open_orders) == (None, 7)
    change(one, MAX_ORDER_QUANTITY="50")
    assert one.override("RISK_MAX_ORDER_QUANTITY") is None
    # what the env file says later holds where nobody changed it here
    later = limits(database, replace(ENV, max_quantity=60))
    assert (later.now.max_quantity, later.now.max_open_orders) == (60, 7)


def test_resetting_gives_a_limit_back_to_the_env_file(database):
    one = limits(database)
    change(one, MAX_ORDER_QUANTITY="4")
    assert one.reset("RISK_MAX_ORDER_QUANTITY", "asha")
    assert not one.reset("RISK_MAX_ORDER_QUANTITY", "asha")
    assert not one.reset("NONSENSE", "asha")
    assert one.now == ENV == limits(database).now
    assert [(each.before, each.value) for each in one.history(9)] == [("4", None), ("50", "4")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MAX_ORDER_QUANTITY", "-1"),
        ("MAX_ORDER_QUANTITY", "9" * 5000),
        ("MAX_ORDER_VALUE", "1e999999"),
        ("MAX_ORDER_VALUE", "1e-999"),
        ("MAX_ORDER_VALUE", "lots"),
        ("EXCHANGES", "NYSE"),
        ("SQUARE_OFF", "25:00"),
        ("CHECK_MARGIN", "perhaps"),
    ],
)
def test_a_text_that_cannot_be_read_is_named_and_changes_nothing(database, name, text):
    one = limits(database)
    plan = one.plan({f"RISK_{name}": text, "RISK_MAX_OPEN_ORDERS": "3"}, one.seen)
    assert list(plan.errors) == [f"RISK_{name}"]
    assert plan.errors[f"RISK_{name}"].startswith(f"RISK_{name} ")
    assert one.now == ENV


def test_who_looked_before_the_last_change_changes_nothing(database):
    one = limits(database)
    seen = one.seen
    old = one.plan({"RISK_MAX_ORDER_QUANTITY": "40"}, seen)
    change(one, MAX_ORDER_QUANTITY="4")
    assert one.plan({"RISK_MAX_ORDER_QUANTITY": "40"}, seen).stale
    with pytest.raises(Stale):
        one.apply(old, "asha")
    assert one.now.max_quantity == 4


NSE, BOTH = frozenset({"NSE"}), frozenset({"NSE", "NFO"})
LATER, EARLIER = SquareOff(at=time(15, 20)), SquareOff(at=time(15, 0))


@pytest.mark.parametrize(
    ("field", "env", "after", "looser"),
    [
        ("max_quantity", 50, 51, True),
        ("max_quantity", 50, None, True),
        ("max_quantity", 50, 49, False),
        ("max_quantity", None, 10**9, False),
        ("day_loss", D(10), D("10.01"), True),
        ("exchanges", NSE, BOTH, True),
        ("exchanges", NSE, frozenset(), True),
        ("exchanges", BOTH, NSE, False),
        ("exchanges", frozenset(), NSE, False),
        ("check_margin", True, False, True),
        ("check_margin", False, True, False),
        ("margin_unknown", "refuse", "allow", True),
        ("margin_unknown", "allow", "refuse", False),
        ("square_off", EARLIER, LATER, True),
        ("square_off", LATER, EARLIER, False),
        ("square_off", EARLIER, SquareOff(before_close_m=15), True),
        ("square_off", SquareOff(before_close_m=15), SquareOff(before_close_m=5), True),
        ("square_off", EARLIER, None, True),
        ("square_off", None, LATER, False),
        ("square_off_products", frozenset({"MIS"}), frozenset({"CNC"}), True),
        ("square_off_products", frozenset({"MIS"}), frozenset({"MIS", "CNC"}), False),
    ],
)
def test_what_allows_more_than_the_env_file(field, env, after, looser):
    assert is_looser(field, env, after) is looser


def test_only_what_a_person_has_to_confirm_is_asked(database):
    one = limits(database)

    def words(**given: str) -> tuple[str, ...]:
        return one.plan({f"RISK_{name}": text for name, text in given.items()}, one.seen).words

    assert words(MAX_ORDER_QUANTITY="4", MAX_OPEN_ORDERS="1", EXCHANGES="NSE") == ()
    assert words(MAX_ORDER_QUANTITY="51") == (
        "RISK_MAX_ORDER_QUANTITY = 51 allows more than the env file (50).",
    )
    assert len(words(MAX_ORDER_QUANTITY="", CHECK_MARGIN="false")) == 2
    # stricter, yet it acts by itself
    assert "closed at 15:00" in words(SQUARE_OFF="15:00")[0]
    assert "Every position is closed" in words(DAY_LOSS="100")[0]


# -- on a desk -------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    one = Bench(tmp_path / "desk.db", risk=RiskBook())
    one.open()
    yield one
    one.close()


def refused(bench: Bench, **more) -> str:
    with pytest.raises(RiskLimit) as caught:
        bench.place(**more)
    return caught.value.limit


def test_a_desk_that_had_no_limits_obeys_new_ones(bench):
    book = bench.desk._parts.risk
    bench.place()
    book.put(RiskRules(max_quantity=4))
    assert refused(bench) == "RISK_MAX_ORDER_QUANTITY"
    # the order of before the limit counts in its minute
    book.put(RiskRules(orders_per_minute=1))
    assert refused(bench) == "RISK_ORDERS_PER_MINUTE"
    book.put(RiskRules(orders_per_minute=2))
    bench.place()
    assert refused(bench) == "RISK_ORDERS_PER_MINUTE"
    book.put(NO_RULES)
    bench.place()
    # so does the one of while there was none
    book.put(RiskRules(orders_per_minute=3))
    assert refused(bench) == "RISK_ORDERS_PER_MINUTE"


def test_a_limit_on_the_days_loss_that_comes_later_is_watched_and_one_raised_lets_go(bench):
    book = bench.desk._parts.risk
    bench.rest.position_rows = [
        Position(SBIN, "MIS", 0, average_price=D(0), ltp=None, pnl=D(-150), realized_pnl=D(-150))
    ]
    book.put(RiskRules(day_loss=D(100)))
    assert refused(bench) == "RISK_DAY_LOSS"  # before anything was read, too
    until(lambda: bench.desk.status().risk["stopped_at_loss"])
    book.put(RiskRules(day_loss=D(200)))
    bench.place()
    until(lambda: not bench.desk.status().risk["stopped_at_loss"])
    book.put(RiskRules(day_loss=D(149)))
    assert refused(bench) == "RISK_DAY_LOSS"
