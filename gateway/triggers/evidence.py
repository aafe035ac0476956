"""What the broker's list says about GTT orders whose outcome is not known. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from brokers.model import Gtt, GttRequest, GttState, Order, PriceType
from gateway.store.gtt import GttRow
from gateway.trading.reconcile import Evidence, SettleRules
from gateway.triggers import machine

CLOCKS_APART_S = 60.0
NEVER_REACHED = "never reached the broker: not in its list in three readings"


def find(row: GttRow, listed: Sequence[Gtt], taken: Collection[str] = ()) -> Gtt | None:
    """The broker's row of ours: by id, by our mark, else by its terms.

    Where its list shows no marks: equal terms, made since we sent it and not known as another's.

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


def children(childless: Sequence[GttRow], listed: Sequence[Gtt], orders: Sequence[Order]) -> dict[int, Order]:
    """Which order of the account is the one a fired GTT of ours sent, by row id.

    Nobody publishes what links the two. An order that carries a mark is told by it (and never gets here with
    somebody else's); one without is believed to be the child when it has the terms of exactly one fired GTT
    of the whole list, ours or not, was made when that fired, and is the only one so. Anything less stays
    foreign.
    """
    fired = [gtt for gtt in listed if gtt.state is GttState.TRIGGERED]
    rows = {row.known.trigger_id: row for row in childless if row.known.trigger_id}
    fits = {order.order_id: [gtt for gtt in fired if _may_be_child(order, gtt)] for order in orders}
    found: dict[int, Order] = {}
    for order in orders:
        if len(fits[order.order_id]) != 1:
            continue
        (gtt,) = fits[order.order_id]
        row = rows.get(gtt.trigger_id)
        alone = sum(gtt in others for others in fits.values()) == 1
        if row is not None and alone and _has_terms(order, row.known.terms):
            found[row.id] = order
    return found


def _may_be_child(order: Order, gtt: Gtt) -> bool:
    if order.tag or (order.key, order.action, order.quantity) != (gtt.key, gtt.action, gtt.quantity):
        return False
    if order.product != gtt.product or order.placed_at is None or gtt.updated_at is None:
        return False
    if abs((order.placed_at - gtt.updated_at).total_seconds()) > CLOCKS_APART_S:
        return False
    # a market order gets a limit of the broker's making
    market = gtt.price_type is PriceType.MARKET or not any(leg.price for leg in gtt.legs)
    return market or order.price in {leg.price for leg in gtt.legs}


def _has_terms(order: Order, terms: GttRequest) -> bool:
    return terms.price_type is PriceType.MARKET or order.price in {leg.price for leg in terms.legs}


def gone(gtt: Gtt | None) -> bool:
    """Whether a cancellation has come true: not armed any more, or not listed at all."""
    return gtt is None or gtt.state in (GttState.CANCELLED, GttState.EXPIRED, GttState.REJECTED)
