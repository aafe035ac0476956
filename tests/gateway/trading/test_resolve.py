"""An unknown order of an earlier day is ended by a person, once, with evidence that is kept."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest

from brokers.clock import SystemClock
from brokers.errors import InvalidRequest, NotFound, OutcomeUnknown
from gateway.trading.reconcile import SettleRules
from gateway.trading.resolve import KIND, NEVER, Resolution
from tests.gateway.trading.desks import Bench

DAY_NS = 86_400 * 1_000_000_000


class Later(SystemClock):
    """The machine's clock, days ahead."""

    days = 0

    def time_ns(self) -> int:
        return time.time_ns() + self.days * DAY_NS

    def now(self):
        from datetime import timedelta

        return super().now() + timedelta(days=self.days)


@pytest.fixture
def bench(tmp_path):
    """A desk with one order of unknown outcome, J1."""
    clock = Later()
    one = Bench(tmp_path / "one.db", clock=clock, patience_s=0.0, settle=SettleRules(horizon_s=3600))
    one.open()
    one.rest.on_place = lambda order: OutcomeUnknown("lost")
    assert one.place(client_order_id="a").code == "OUTCOME_UNKNOWN"
    one.clock = clock
    yield one
    one.close()


def said(outcome: str, **more) -> Resolution:
    return Resolution(outcome, "contract note 17", **more)


ENDS = [
    (said(NEVER), ("rejected", 0, "", True)),
    (said("complete", order_id="991", average=Decimal("800.10")), ("complete", 5, "991", False)),
    (said("cancelled", order_id="991", filled=2, average=Decimal(800)), ("cancelled", 2, "991", False)),
    (said("rejected", order_id="991"), ("rejected", 0, "991", False)),
]


@pytest.mark.parametrize(("resolution", "end"), ENDS, ids=lambda v: getattr(v, "outcome", ""))
def test_it_ends_as_the_broker_showed_it_and_the_evidence_is_kept(bench, resolution, end):
    bench.clock.days = 1
    assert [bench.desk.unknowns.is_old(row) for row in bench.desk.unknowns.rows()] == [True]
    known = bench.desk.unknowns.resolve(1, resolution).known
    assert (known.state.value, known.filled, known.order_id, known.local) == end
    event = next(e for e in bench.journal.events(1) if e["kind"] == KIND)
    assert json.loads(event["detail"])["evidence"] == "contract note 17"
    assert bench.desk.unknowns.rows() == []
    assert bench.desk.status().unknown == 0
    # the repeat of its id hears the end, and nothing was sent for it
    assert bench.place(client_order_id="a").repeated
    assert bench.rest.count("place") == 1
    with pytest.raises(InvalidRequest, match="not unknown"):
        bench.desk.unknowns.resolve(1, resolution)


def test_todays_is_left_to_the_brokers_book(bench):
    with pytest.raises(InvalidRequest, match="of today"):
        bench.desk.unknowns.resolve(1, said(NEVER))
    assert len(bench.desk.unknowns.rows()) == 1


@pytest.mark.parametrize(
    "resolution",
    [
        Resolution(NEVER, "  "),
        said(NEVER, order_id="991"),
        said(NEVER, filled=1),
        said("complete", filled=4),
        said("cancelled", filled=6),
        said("cancelled", filled=-1),
        said("rejected", filled=1),
        said("cancelled", average=Decimal(800)),
        said("complete", average=Decimal("NaN")),
        said("complete", order_id="9 1"),
    ],
)
def test_what_cannot_be_changes_nothing(bench, resolution):
    bench.clock.days = 1
    with pytest.raises(InvalidRequest):
        bench.desk.unknowns.resolve(1, resolution)
    assert len(bench.desk.unknowns.rows()) == 1


def test_no_such_row(bench):
    with pytest.raises(NotFound):
        bench.desk.unknowns.resolve(99, said(NEVER))
