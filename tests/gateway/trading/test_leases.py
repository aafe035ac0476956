"""A lease at the order desk: entries of another copy never leave, exits and cancels always do."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers.clock import ManualClock
from brokers.errors import IpNotAllowed, LeaseRefused, RoleMissing
from brokers.model import Action, OrderChange, Position, PriceType
from gateway.strategies.lease import Acquire, Free
from gateway.strategies.leasefile import Gatekeeper, LeaseFile
from tests.gateway.trading.desks import SBIN, Bench, request

D = Decimal


class Leased(Bench):
    """A bench whose desk asks a lease file."""

    def __init__(self, path, **more):
        self.clock = ManualClock(datetime(2026, 11, 20, 4, tzinfo=UTC))
        self.file = LeaseFile(path.with_name("leases.db"), self.clock)
        door = Gatekeeper(self.file, self.clock, "dhan")
        super().__init__(path, objection=door.objection, **more)

    def send(self, lease="", **more):
        client_id = more.pop("client_order_id", None)
        return self.desk.place(
            request(**more),
            strategy="x",
            client_order_id=client_id,
            received_ns=time.time_ns(),
            lease=lease,
        )

    def hold(self, quantity):
        self.rest.position_rows = [Position(SBIN, "MIS", quantity, D(800), D(810), D(0))]


@pytest.fixture
def bench(tmp_path):
    one = Leased(tmp_path / "one.db")
    one.open()
    yield one
    one.close()


def take(bench, holder="copy", takeover=0):
    return bench.file.apply("x", Acquire(holder, "dhan", 30, holder, takeover)).token


def test_a_program_that_knows_no_leases_trades_as_before(bench):
    assert bench.send().ok
    assert not bench.file.path.exists()


def test_the_holder_trades_and_a_second_copy_does_not(bench):
    token = take(bench)
    assert bench.send(token).ok
    for wrong in ("", "1-other", "2-copy"):
        with pytest.raises(LeaseRefused):
            bench.send(wrong)
    assert bench.rest.count("place") == 1
    assert len(bench.journal.unfinished()) == 1


def test_after_a_takeover_the_old_holder_s_entries_stay_here(bench):
    old = take(bench)
    new = take(bench, "second", takeover=1)
    with pytest.raises(LeaseRefused, match="second") as caught:
        bench.send(old)
    assert caught.value.code == "STRATEGY_LEASE_LOST"
    assert bench.send(new).ok


def test_a_lease_that_changes_hands_while_an_order_waits_for_its_slot_keeps_it_here(bench, monkeypatch):
    old = take(bench)
    limiter = bench.desk._parts.limiter
    acquire = limiter.acquire

    def slow(*given):
        bench.file.apply("x", Free())
        return acquire(*given)

    monkeypatch.setattr(limiter, "acquire", slow)
    with pytest.raises(LeaseRefused):
        bench.send(old)
    assert bench.rest.count("place") == 0


def test_exits_cancels_and_repeats_pass_without_the_lease(bench):
    token = take(bench)
    first = bench.send(token, client_order_id="one")
    take(bench, "second", takeover=1)
    assert bench.send(token, client_order_id="one").repeated
    bench.hold(5)
    with pytest.raises(LeaseRefused):
        bench.send(action=Action.BUY)
    with pytest.raises(LeaseRefused):
        bench.send(action=Action.SELL, quantity=6)
    exit_order = bench.send(action=Action.SELL, quantity=5, price_type=PriceType.MARKET, price=D(0))
    assert exit_order.ok
    with pytest.raises(LeaseRefused):
        # the five are on their way out already
        bench.send(action=Action.SELL, quantity=5, price_type=PriceType.MARKET, price=D(0))
    assert bench.desk.cancel(first.order_id, received_ns=time.time_ns()).ok


def grown(order_id, quantity):
    return OrderChange(order_id, quantity, PriceType.LIMIT, D("800.05"), D(0), 0)


def test_an_entry_that_grows_by_a_modify_needs_the_lease_of_its_strategy(bench):
    token = take(bench)
    order_id = bench.send(token).order_id
    new = take(bench, "second", takeover=1)
    for stale in ("", token):
        with pytest.raises(LeaseRefused):
            bench.desk.modify(grown(order_id, 6), strategy="y", received_ns=time.time_ns(), lease=stale)
    assert bench.rest.count("modify") == 0
    # as large, or smaller, is no new entry; nor is what the right copy adds
    for quantity, lease in ((5, ""), (4, token), (6, new)):
        assert bench.desk.modify(grown(order_id, quantity), received_ns=time.time_ns(), lease=lease).ok


def test_what_only_reduces_a_position_grows_without_a_lease(bench):
    token = take(bench)
    order_id = bench.send(token, action=Action.SELL).order_id
    take(bench, "second", takeover=1)
    bench.hold(8)
    assert bench.desk.modify(grown(order_id, 8), received_ns=time.time_ns()).ok
    with pytest.raises(LeaseRefused):
        bench.desk.modify(grown(order_id, 9), received_ns=time.time_ns())


def test_an_instance_without_the_role_execute_sends_exits_alone(tmp_path):
    bench = Leased(tmp_path / "one.db", executes=False)
    bench.open()
    try:
        with pytest.raises(RoleMissing):
            bench.send()
        with pytest.raises(RoleMissing):
            bench.desk.guards.vet("x", "")
        assert bench.rest.count("place") == 0
        bench.hold(5)
        assert [one.quantity for one in bench.desk.close_all("x").closed] == [5]
        [working] = bench.desk.orders()
        change = OrderChange(working.order_id, 4, PriceType.LIMIT, D(1), D(0), 0)
        bench.desk.modify(change, received_ns=time.time_ns())
    finally:
        bench.close()


def test_a_refused_address_is_named_beside_the_broker_s_words(tmp_path):
    seen = ["orders leave from 203.0.113.9, the broker takes them from 198.51.100.1"]
    bench = Leased(tmp_path / "one.db", egress=lambda: seen[0])
    bench.open()
    try:
        bench.rest.on_place = lambda order: IpNotAllowed("Invalid IP", broker_code="DH-905")
        answer = bench.send()
        assert (answer.code, answer.broker_code) == ("IP_NOT_ALLOWED", "DH-905")
        assert answer.message == f"Invalid IP; {seen[0]}"
        seen[0] = ""
        assert bench.send().message == "Invalid IP"
    finally:
        bench.close()
