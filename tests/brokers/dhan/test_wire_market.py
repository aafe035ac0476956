"""Every golden vector is a claim; then cut-anywhere and random bytes."""

from __future__ import annotations

import json
import math
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from brokers.dhan.wire import depth, market, orders
from brokers.errors import WireError
from brokers.model import Level

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "dhan-packets.json").read_text())
VECTORS = {v["id"]: v for v in GOLDEN["vectors"]}
DEPTH_ROW_FIELDS = ("bid_qty", "ask_qty", "bid_orders", "ask_orders", "bid_price", "ask_price")


def decode(feed: str, frame: bytes) -> tuple[list[Any], WireError | None]:
    """All packets that came out, and the error that ended the walk, if any."""
    packets: list[Any] = []
    walk = market.split(frame) if feed == "live" else depth.split(frame, int(feed.removeprefix("depth")))
    try:
        for packet in walk:
            packets.append(packet)
    except WireError as exc:
        return packets, exc
    return packets, None


def as_expected(packet: Any, feed: str) -> dict[str, Any]:
    """A packet in the words of the golden file."""
    found = packet._asdict()
    out: dict[str, Any] = {"response_code": found.pop("code"), "message_length": found.pop("length")}
    segment = found.pop("segment")
    if feed != "live" and out["response_code"] == 50:
        return {**out, "reason": packet.reason}
    out |= {"exchange_segment": segment, "exchange_segment_name": market.SEGMENTS.get(segment, "")}
    if feed == "live":
        if "depth_raw" in found:
            rows = market.rows5(found.pop("depth_raw"))
            found["depth"] = [dict(zip(DEPTH_ROW_FIELDS, row, strict=True)) for row in rows]
        return out | found
    found.pop("raw")
    found["sequence" if feed == "depth20" else "rows"] = found.pop("number")
    return out | found | {"side": packet.side, "levels": [list(row) for row in packet.rows()]}


@pytest.mark.parametrize("vector", GOLDEN["vectors"], ids=lambda v: v["id"])
def test_a_golden_packet_reads_as_the_reference_says(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["hex"])
    assert len(frame) == vector["size"]
    packets, error = decode(vector["feed"], frame)
    assert error is None
    assert [as_expected(p, vector["feed"]) for p in packets] == [vector["expected"]]


@pytest.mark.parametrize("frame", GOLDEN["frames"], ids=lambda f: f["id"])
def test_a_frame_of_several_packets_gives_each_of_them(frame: dict[str, Any]) -> None:
    packets, error = decode(frame["feed"], bytes.fromhex(frame["hex"]))
    assert error is None
    assert [as_expected(p, frame["feed"]) for p in packets] == [
        VECTORS[name]["expected"] for name in frame["packets"]
    ]


# what our decoder does with each malformed input of the golden file: number of packets, part of the error
MALFORMED = {
    "empty-frame": (0, "empty frame"),
    "short-header": (0, "5 bytes of an 8-byte header"),
    "ticker-truncated": (0, "cut short at byte 0"),
    "full-truncated-depth": (0, "cut short at byte 0"),
    "full-length-lies-high": (0, "code 8 of 400 bytes, 162 are there"),
    "quote-length-lies-low": (0, "says 16 bytes, it has 50"),
    "unknown-code-99": (0, "unknown code 99 of 12 bytes"),
    "unknown-segment-6": (1, None),
    "nan-price": (1, None),
    "inf-price": (1, None),
    "depth20-truncated": (0, "says 332 bytes, 300 are there"),
    "depth20-zero-length": (0, "says 0 bytes"),
    "depth20-unknown-code": (0, "unknown code 42 of 332 bytes"),
    "depth200-rows-lie": (1, None),
}


@pytest.mark.parametrize("bad", GOLDEN["malformed"], ids=lambda m: m["id"])
def test_a_malformed_frame_is_counted_and_kept(bad: dict[str, Any]) -> None:
    frame = bytes.fromhex(bad["hex"])
    count, message = MALFORMED[bad["id"]]
    packets, error = decode(bad["feed"], frame)
    assert len(packets) == count
    if message is None:
        assert error is None
    else:
        assert error is not None
        assert message in str(error)
        assert error.frame == frame


def test_a_depth_row_count_that_lies_gives_the_rows_that_are_there() -> None:
    bad = next(m for m in GOLDEN["malformed"] if m["id"] == "depth200-rows-lie")
    (side,), _ = decode("depth200", bytes.fromhex(bad["hex"]))
    assert side.rows() == [(2845.5, 40, 2), (2845.45, 80, 3), (2845.4, 120, 4)]


def test_an_unknown_segment_and_a_price_that_is_no_number_are_decoded() -> None:
    by_id = {m["id"]: bytes.fromhex(m["hex"]) for m in GOLDEN["malformed"]}
    (packet,), _ = decode("live", by_id["unknown-segment-6"])
    assert (packet.segment, packet.ltp) == (6, 1.0)
    (nan,), _ = decode("live", by_id["nan-price"])
    (inf,), _ = decode("live", by_id["inf-price"])
    assert math.isnan(nan.ltp)
    assert math.isinf(inf.ltp)


def test_an_unknown_code_does_not_hide_the_packets_behind_it() -> None:
    ticker = bytes.fromhex(VECTORS["ticker-nse-eq"]["hex"])
    unknown = bytes.fromhex("630c0001b1e20d0001020304")
    packets, error = decode("live", ticker + unknown + ticker)
    assert [p.code for p in packets] == [2, 2]
    assert error is not None
    assert "unknown code 99 of 12 bytes at byte 16" in str(error)
    assert error.frame == ticker + unknown + ticker


WITH_DEPTH = [v for v in GOLDEN["vectors"] if "depth" in v["expected"]]
LIVE = [v for v in GOLDEN["vectors"] if v["feed"] == "live" and v["code"] != 0]


@pytest.mark.parametrize("vector", LIVE, ids=lambda v: v["id"])
def test_a_packet_cut_anywhere_is_an_error_and_the_one_before_it_is_delivered(
    vector: dict[str, Any],
) -> None:
    first = bytes.fromhex(VECTORS["oi-nfo"]["hex"])
    whole = bytes.fromhex(vector["hex"])
    for keep in range(1, len(whole)):
        packets, error = decode("live", first + whole[:keep])
        assert [p.code for p in packets] == [5]
        assert error is not None
        assert "cut short at byte 12" in str(error)


def test_a_depth_packet_cut_anywhere_is_an_error() -> None:
    whole = bytes.fromhex(VECTORS["depth20-bid-eq"]["hex"])
    for keep in range(1, len(whole)):
        packets, error = decode("depth20", whole + whole[:keep])
        assert len(packets) == 1
        assert error is not None


def test_a_longer_packet_of_a_known_code_is_read_and_stepped_over() -> None:
    ticker = bytearray.fromhex(VECTORS["ticker-nse-eq"]["hex"])
    ticker[1] = 20
    packets, error = decode("live", bytes(ticker) + b"\0\0\0\0" + bytes.fromhex(VECTORS["oi-nfo"]["hex"]))
    assert error is None
    assert [p.code for p in packets] == [2, 5]


def test_random_bytes_give_packets_or_a_wire_error_and_always_end() -> None:
    dice = random.Random(7)
    for _ in range(3000):
        frame = dice.randbytes(dice.randrange(0, 200))
        for feed in ("live", "depth20", "depth200"):
            packets, error = decode(feed, frame)
            assert len(packets) <= len(frame) // 8
            assert error is None or error.frame == frame


@pytest.mark.parametrize("vector", WITH_DEPTH, ids=lambda v: v["id"])
def test_depth_shows_only_real_levels(vector: dict[str, Any]) -> None:
    (packet,), _ = decode("live", bytes.fromhex(vector["hex"]))
    book = market.depth5(packet.depth_raw)
    rows = vector["expected"]["depth"]
    assert book.bids == tuple(
        Level(r["bid_price"], r["bid_qty"], r["bid_orders"]) for r in rows if r["bid_price"] or r["bid_qty"]
    )
    assert book.asks == tuple(
        Level(r["ask_price"], r["ask_qty"], r["ask_orders"]) for r in rows if r["ask_price"] or r["ask_qty"]
    )
    assert market.top5(packet.depth_raw) == tuple(rows[0][name] for name in DEPTH_ROW_FIELDS)


def test_a_one_sided_book_has_no_levels_on_the_other_side() -> None:
    (packet,), _ = decode("live", bytes.fromhex(VECTORS["v1depth-one-sided"]["hex"]))
    book = market.depth5(packet.depth_raw)
    assert [level.quantity for level in book.bids] == [10]
    assert book.asks == ()
    (thin,), _ = decode("depth20", bytes.fromhex(VECTORS["depth20-ask-thin"]["hex"]))
    assert thin.levels() == (Level(118.4, 65, 1),)


def test_a_quantity_without_a_price_is_a_level() -> None:
    # market orders of a pre-open session stand in the book without a price
    row = struct.pack("<IIHHff", 40, 25, 2, 1, 0.0, 0.0)
    book = market.depth5(row + bytes(80))
    assert book.bids == (Level(0.0, 40, 2),)
    assert book.asks == (Level(0.0, 25, 1),)


def test_a_goodbye_of_a_depth_socket_without_its_reason_is_an_error() -> None:
    frame = struct.pack("<HBBII", 12, 50, 1, 0, 0)
    packets, error = decode("depth20", frame)
    assert packets == []
    assert error is not None
    assert "code 50 of 12 bytes" in str(error)


def _listed(json_message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(i["ExchangeSegment"], i["SecurityId"]) for i in json_message["InstrumentList"]]


@pytest.mark.parametrize("message", GOLDEN["client_to_server"], ids=lambda m: m["id"])
def test_what_we_send_is_what_the_reference_says(message: dict[str, Any]) -> None:
    if message["kind"] == "binary":
        assert market.disconnect_binary("1000000001") == bytes.fromhex(message["hex"])
        return
    wanted = message["json"]
    kind = message["id"]
    if kind == "disconnect":
        sent = [market.disconnect()]
    elif kind == "order-update-login":
        sent = [orders.login("1000000001", "JWT")]
    elif kind == "subscribe-depth200":
        sent = [depth.subscribe200("NSE_EQ", "910001")]
    elif kind == "unsubscribe-full":
        sent = market.unsubscribe(market.FULL, _listed(wanted))
    elif kind == "unsubscribe-depth20-classic":
        sent = market.unsubscribe(market.DEPTH_LEVELS, _listed(wanted))
    elif kind == "unsubscribe-depth20-portal":
        sent = market.subscribe(25, _listed(wanted))
    else:
        code = {"ticker": 15, "quote": 17, "full": 21, "depth20": 23}[kind.removeprefix("subscribe-")]
        sent = market.subscribe(code, _listed(wanted))
    assert [json.loads(text) for text in sent] == [wanted]


def test_a_subscription_of_many_is_cut_into_hundreds() -> None:
    ids = [("NSE_EQ", str(i)) for i in range(250)]
    messages = [json.loads(text) for text in market.subscribe(market.QUOTE, ids)]
    assert [m["InstrumentCount"] for m in messages] == [100, 100, 50]
    assert [pair for m in messages for pair in _listed(m)] == ids
    assert market.subscribe(market.QUOTE, []) == []
