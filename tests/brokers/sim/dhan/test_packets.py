"""Snapshots as packets: which numbers go where."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from brokers.sim.dhan.ids import Directory
from brokers.sim.dhan.packets import Packets, deepened
from brokers.sim.exchange.types import BookLevel
from tests.brokers.sim.dhan import world


@pytest.fixture(scope="module")
def packets() -> Packets:
    return Packets(Directory(world.universe()))


def test_a_full_packet_carries_the_snapshot(packets: Packets) -> None:
    market = world.market(world.future())
    values = struct.unpack("<BHBIfHIfIIIIIIffff", packets.full(market)[:62])
    assert values[:4] == (8, 162, 2, market.listing.token)
    assert values[4] == pytest.approx(market.ltp_paise / 100, rel=1e-6)
    assert values[6] == int(market.last_trade_at.timestamp()) + 19_800
    assert values[8:11] == (market.volume, market.total_sell, market.total_buy)
    assert values[11:14] == (market.oi, market.oi_day_high, market.oi_day_low)
    day = (market.open_paise, market.prev_close_paise, market.high_paise, market.low_paise)
    assert values[14:] == pytest.approx([paise / 100 for paise in day], rel=1e-6)
    bid_qty, ask_qty, bid_orders, ask_orders, bid, ask = struct.unpack_from(
        "<IIHHff", packets.full(market), 62
    )
    assert (bid_qty, bid_orders) == (market.bids[0].quantity, market.bids[0].orders)
    assert (ask_qty, ask_orders) == (market.asks[0].quantity, market.asks[0].orders)
    assert bid < ask


def test_the_close_is_yesterdays_until_the_session_ends(packets: Packets) -> None:
    market = world.market(world.listing("NSE", "SBIN"))
    close_at = 38
    (running,) = struct.unpack_from("<f", packets.quote(market), close_at)
    (ended,) = struct.unpack_from("<f", packets.quote(market, closed=True), close_at)
    assert running == pytest.approx(market.prev_close_paise / 100, rel=1e-6)
    assert ended == pytest.approx(market.ltp_paise / 100, rel=1e-6)


def test_an_untraded_instrument_has_no_trade_time(packets: Packets) -> None:
    market = replace(world.market(world.listing("NSE", "SBIN")), volume=0)
    assert packets.ticker(market)[12:] == bytes(4)


def test_a_one_sided_book_has_zeros_on_the_other_side(packets: Packets) -> None:
    market = replace(world.market(world.listing("NSE", "SBIN")), asks=(), bids=(BookLevel(96_500, 7, 2),))
    packet = packets.full(market)
    assert struct.unpack_from("<IIHHff", packet, 62) == (7, 0, 2, 0, 965.0, 0.0)
    assert packet[82:] == bytes(80)


@pytest.mark.parametrize(("rows", "size"), [(20, 664), (200, 6424)])
def test_depth_puts_both_sides_into_one_message(packets: Packets, rows: int, size: int) -> None:
    sbin = world.listing("NSE", "SBIN")
    message = packets.depth(world.market(sbin), rows, 7)
    assert len(message) == size
    half = size // 2
    third = (7, 8) if rows == 20 else (rows, rows)
    assert struct.unpack_from("<HBBII", message) == (half, 41, 1, sbin.token, third[0])
    assert struct.unpack_from("<HBBII", message, half) == (half, 51, 1, sbin.token, third[1])
    bids = [price for price, _, _ in struct.iter_unpack("<dII", message[12:half])]
    assert bids == sorted(bids, reverse=True)
    assert len(set(bids)) == rows


def test_the_book_ends_at_the_circuit_limit() -> None:
    levels = (BookLevel(110, 5, 1), BookLevel(105, 6, 1))
    assert [row.price for row in deepened(levels, 20, -5, 95, None)] == [1.1, 1.05, 1.0, 0.95]
    assert deepened((), 20, -5, 95, None) == []
