"""The encoders reproduce the golden packets byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from brokers.sim.dhan import wire
from tests.brokers.sim.dhan import vectors


def _encode_live(want: dict[str, Any]) -> bytes:
    where = (want["exchange_segment"], want["security_id"])
    code = want["response_code"]
    if code == wire.TICKER:
        return wire.ticker(*where, want["ltp"], want["ltt_raw"])
    if code == wire.PREV_CLOSE:
        return wire.prev_close(*where, want["prev_close"], want["prev_oi"])
    if code == wire.OI:
        return wire.open_interest(*where, want["oi"])
    if code == wire.STATUS:
        return wire.market_status(*where)
    if code == wire.DISCONNECT:
        return wire.disconnect(want["reason"], *where)
    levels = [wire.Level(**level) for level in want.get("depth", [])]
    if code == wire.V1_DEPTH:
        return wire.v1_depth(*where, want["ltp"], levels)
    trade = wire.Trade(
        want["ltp"],
        want["ltq"],
        want["ltt_raw"],
        want["atp"],
        want["volume"],
        want["total_sell_qty"],
        want["total_buy_qty"],
    )
    day = wire.Day(want["day_open"], want["day_close"], want["day_high"], want["day_low"])
    if code == wire.QUOTE:
        return wire.quote(*where, trade, day)
    oi = (want["oi"], want["oi_day_high"], want["oi_day_low"])
    return wire.full(*where, trade, oi, day, levels)


@pytest.mark.parametrize("name", vectors.of("live", 2, 3, 4, 5, 6, 7, 8, 50))
def test_live_packets_equal_the_golden_ones(name: str) -> None:
    vector = vectors.BY_ID[name]
    assert _encode_live(vector["expected"]).hex() == vector["hex"]


@pytest.mark.parametrize("name", vectors.of("depth20", 41, 51))
def test_sides_of_20_levels_equal_the_golden_ones(name: str) -> None:
    vector = vectors.BY_ID[name]
    want = vector["expected"]
    # the rows that are there are enough: the encoder fills up with zeros
    rows = [wire.DepthRow(*row) for row in want["levels"] if any(row)]
    got = wire.depth_side(
        want["response_code"], want["exchange_segment"], want["security_id"], want["sequence"], rows
    )
    assert got.hex() == vector["hex"]


@pytest.mark.parametrize("name", [n for n in vectors.of("depth200", 41, 51) if n != "depth200-ask-padded"])
def test_sides_of_200_levels_equal_the_golden_ones(name: str) -> None:
    vector = vectors.BY_ID[name]
    want = vector["expected"]
    rows = [wire.DepthRow(*row) for row in want["levels"]]
    got = wire.depth_200_side(want["response_code"], want["exchange_segment"], want["security_id"], rows)
    assert got.hex() == vector["hex"]


def test_the_depth_goodbye_tells_the_reason_at_both_offsets() -> None:
    assert wire.depth_disconnect(805).hex() == vectors.BY_ID["depth-disconnect-805-dual"]["hex"]


@pytest.mark.parametrize(
    "frame", [f for f in vectors.FRAMES if f["id"] == "frame-live-mixed"], ids=lambda f: f["id"]
)
def test_packets_stack_into_a_frame_without_anything_between(frame: dict[str, Any]) -> None:
    joined = b"".join(_encode_live(vectors.BY_ID[name]["expected"]) for name in frame["packets"])
    assert joined.hex() == frame["hex"]


def test_times_are_the_ist_wall_clock_as_if_it_were_utc() -> None:
    assert wire.wall_epoch(datetime.fromtimestamp(1789711927, UTC)) == 1789731727
    assert wire.wall_epoch(None) == 0


def test_a_last_quantity_above_16_bits_is_clamped() -> None:
    trade = wire.Trade(1.0, 70_000, 0, 0.0, 0, 0, 0)
    packet = wire.quote(1, 1, trade, wire.Day(0.0, 0.0, 0.0, 0.0))
    assert int.from_bytes(packet[12:14], "little") == 65_535
