"""What the broker's list says about GTT orders whose outcome is not known. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from brokers.model import Gtt, GttRequest, GttState, PriceType
from gateway.store.gtt import GttRow
from gateway.trading.reconcile import Evidence, SettleRules
from gateway.triggers import machine

CLOCKS_APART_S = 60.0
NEVER_REACHED = "never reached the broker: not in its list in three readings"


def find(row: GttRow, listed: Sequence[Gtt], taken: Collection[str] = ()) -> Gtt | None:
    """The broker's row of ours: by id, by our mark, and where its list shows no marks by equal terms, made
    since we sent it and not known as another's.

    Args:
        taken: Ids that belong to other rows of the journal.
    """
    if row.known.trigger_id:
        return next((gtt for gtt in listed if gtt.trigger_id == row.known.trigger_id), None)
    marked = next((gtt for gtt in listed if row.tag and gtt.tag == row.tag), None)
    if marked is not None:
        return marked
    since = row.created_ns / 1e9 - CLOCKS_APART_S
    for gtt in listed:
        later = gtt.placed_at is None or gtt.placed_at.timestamp() >= since
        if not gtt.tag and gtt.trigger_id not in taken and later and same_terms(gtt, row.known.terms):
            return gtt
    return None


def same_terms(gtt: Gtt, terms: GttRequest) -> bool:
    """Whether a row shows these terms. A leg's price is compared only where one was sent."""
    if (gtt.key, gtt.action, gtt.quantity) != (terms.key, terms.action, terms.quantity):
        return False
    if gtt.product != str(terms.product) or len(gtt.legs) != len(terms.legs):
        return False
    market = terms.price_type is PriceType.MARKET
    return all(
        mine.trigger_price == theirs.trigger_price and (market or mine.price == theirs.price)
        for mine, theirs in zip(terms.legs, gtt.legs, strict=True)
    )


def weigh(
    evidence: Evidence, found: Gtt | None, read_at: float, rules: SettleRules
) -> tuple[Evidence, machine.Event | None]:
    """Take one healthy reading into account; the event that ends ``unknown``, or None (as for orders)."""
    if found is not None:
        return evidence, machine.BrokerSays(found)
    early = read_at < evidence.lost_at + rules.horizon_s
    if early or (evidence.absent and read_at - evidence.absent[-1] < rules.gap_s):
        return evidence, None
    evidence = replace(evidence, absent=(*evidence.absent, read_at))
    if len(evidence.absent) < rules.reads:
        return evidence, None
    return evidence, machine.Refused("BROKER_DISCONNECTED", NEVER_REACHED)


def gone(gtt: Gtt | None) -> bool:
    """Whether a cancellation has come true: not armed any more, or not listed at all."""
    return gtt is None or gtt.state in (GttState.CANCELLED, GttState.EXPIRED, GttState.REJECTED)
