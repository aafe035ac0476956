"""SFeed packets and control texts against the golden vectors and the official SDK's reading of them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from brokers.errors import WireError
from brokers.kotak.wire import sfeed
from tests.brokers.kotak.vectors import FRAMES, SFEED, sfeed_frame

SPEC = FRAMES["sfeed"]
DIVIDERS = {int(k): v for k, v in SPEC["dividers"].items()}
WHOLE = [name for name in SFEED if name != "truncated_tail"]
# SDK field -> ours
NAMES = {
    "last_traded_price": "ltp",
    "open_price": "open",
    "high_price": "high",
    "low_price": "low",
    "close_price": "close",
    "net_change": "change",
    "net_change_percent": "change_percent",
    "yearly_high": "year_high",
    "yearly_low": "year_low",
    "last_trade_time": "time_s",
    "last_update_time": "updated_s",
    "last_trade_qty": "last_quantity",
    "average_trade_price": "average_price",
    "volume_traded_today": "volume",
    "open_interest": "oi",
    "upper_circuit_limit": "upper_circuit",
    "lower_circuit_limit": "lower_circuit",
    "total_traded_value": "turnover",
    "market_lot": "lot_size",
    "ref_price": "reference_price",
    "imbalance_qty": "imbalance",
    "imbalance_qty_at_market": "imbalance_at_market",
    "status_code": "code",
    "exchange_segment": "segment",
    "instrument_token": "token",
}


def read(frame: bytes) -> list[sfeed.Decoded]:
    decoded = (sfeed.decode(packet, DIVIDERS) for packet in sfeed.split(frame))
    return [d for d in decoded if d is not None]


def same(ours: Any, official: dict[str, Any]) -> None:
    for name, want in official.items():
        if name in ("type", "trading_symbol", "status"):
            continue
        if name in ("buy", "sell"):
            rows = ours.rows()[0 if name == "buy" else 1]
            assert [{"quantity": r.quantity, "price": r.price, "orders": r.orders} for r in rows] == want
            continue
        attribute = NAMES.get(name, name)
        if isinstance(ours, sfeed.Index):
            if name == "change":
                assert ours.value - ours.close == pytest.approx(want)
                continue
            attribute = "value" if attribute == "ltp" else attribute
        got = getattr(ours, attribute)
        assert got == (pytest.approx(want) if isinstance(want, float) else want), name


@pytest.mark.parametrize("name", WHOLE)
def test_packets_read_as_the_official_sdk_reads_them(name: str) -> None:
    vector = SFEED[name]
    frame = sfeed_frame(name)
    assert len(frame) == vector["length"]
    assert [len(p) for p in sfeed.split(frame)] == vector["packet_lengths"]
    got = read(frame)
    assert len(got) == len(vector["v3_client_output"])
    for ours, official in zip(got, vector["v3_client_output"], strict=True):
        same(ours, official)


def test_a_torn_tail_yields_the_whole_packets_then_says_so() -> None:
    frame = sfeed_frame("truncated_tail")
    packets: list[bytes] = []
    with pytest.raises(WireError, match="cut short at byte 54") as caught:
        packets.extend(sfeed.split(frame))
    assert [len(p) for p in packets] == SFEED["truncated_tail"]["packet_lengths"]
    same(sfeed.decode(packets[0], DIVIDERS), SFEED["truncated_tail"]["v3_client_output"][0])
    assert caught.value.frame == frame


@pytest.mark.parametrize("name", WHOLE)
def test_a_message_cut_anywhere_is_an_error(name: str) -> None:
    whole = sfeed_frame(name)
    edges = {0}
    for size in SFEED[name]["packet_lengths"]:
        edges.add(max(edges) + size)
    for keep in set(range(len(whole))) - edges:
        with pytest.raises(WireError, match="cut short"):
            read(whole[:keep])


@pytest.mark.parametrize(
    "name", ["index_7207", "mini_touch_line_level_1", "depth_level_8", "closing_auction_104"]
)
def test_a_packet_shorter_than_its_kind_is_an_error(name: str) -> None:
    short = bytearray(sfeed_frame(name)[:20])
    short[0:2] = (20).to_bytes(2, "little")
    with pytest.raises(WireError, match="ends after 20 bytes"):
        read(bytes(short))


def test_a_length_of_zero_is_an_error_not_an_endless_loop() -> None:
    with pytest.raises(WireError, match="below the header"):
        list(sfeed.split(bytes(20)))


def test_an_unknown_packet_is_an_error_that_keeps_it() -> None:
    packet = sfeed.HEADER.pack(9, 7777, 1, 3, 0, 1, 0)
    with pytest.raises(WireError, match="code 7777 level 3") as caught:
        read(packet)
    assert caught.value.frame == packet


def test_a_touch_line_has_one_row_a_side_whatever_it_counts() -> None:
    frame = bytearray(sfeed_frame("touch_line_level_4"))
    (whole,) = read(bytes(frame))
    # the counts stand after token, five 64-bit numbers, five prices, a quantity and two more prices
    at = 9 + 4 + 5 * 8 + 5 * 4 + 8 + 2 * 4
    assert frame[at : at + 8] == bytes([1, 0, 0, 0, 1, 0, 0, 0])
    frame[at : at + 8] = bytes([5, 0, 0, 0, 5, 0, 0, 0])
    (counted,) = read(bytes(frame))
    assert isinstance(whole, sfeed.Picture)
    assert isinstance(counted, sfeed.Picture)
    assert counted.rows() == whole.rows()
    assert counted.best() == (counted.rows()[0][0], counted.rows()[1][0])


def test_fewer_rows_than_counted_give_the_rows_that_came() -> None:
    frame = bytearray(sfeed_frame("depth_level_8")[: 144 + 16 * 7])
    frame[0:2] = len(frame).to_bytes(2, "little")
    (picture,) = read(bytes(frame))
    assert isinstance(picture, sfeed.Picture)
    assert [len(side) for side in picture.rows()] == [5, 2]


def test_random_bytes_never_raise_anything_but_wire_errors() -> None:
    source, whole, refused = random.Random(11), 0, 0
    for _ in range(4000):
        frame = bytearray(sfeed_frame(source.choice(WHOLE)))
        for _ in range(source.randint(1, 6)):
            frame[source.randrange(len(frame))] = source.randrange(256)
        try:
            for decoded in read(bytes(frame)):
                whole += 1
                if isinstance(decoded, sfeed.Picture):
                    decoded.rows()
        except WireError:
            refused += 1
    assert min(whole, refused) > 500


@pytest.mark.parametrize(
    ("segment", "divider"),
    [
        ("nse_cm", 100),
        ("nse_fo", 100),
        ("cde_fo", 10_000_000),
        ("nse_com", 10_000),
        ("mcx_fo", 100),
        ("ncd_co", 1),
    ],
)
def test_prices_are_divided_as_published_when_the_server_names_no_divider(segment: str, divider: int) -> None:
    frame = bytearray(sfeed_frame("mini_touch_line_level_1"))
    paise = sfeed.decode(bytes(frame), {}).ltp * 100  # type: ignore[union-attr]
    frame[4] = sfeed.SEGMENT_IDS[segment]
    mini = sfeed.decode(bytes(frame), sfeed.DIVIDERS)
    assert isinstance(mini, sfeed.Mini)
    assert mini.segment == segment
    assert mini.ltp == pytest.approx(paise / divider)


def test_a_closing_auction_of_zeros_says_nothing() -> None:
    packet = sfeed_frame("closing_auction_104")[:13] + bytes(20)
    assert sfeed.decode(packet, DIVIDERS) is None


def test_the_auth_text_is_the_official_one() -> None:
    assert json.loads(sfeed.auth("ABC12", "SID-1", 1795149930000)) == SPEC["auth_request"]


def test_the_subscribe_text_is_the_official_one() -> None:
    assert json.loads(sfeed.subscribe("touch", ["nse_cm|90001", "nse_fo|50001"])) == SPEC["subscribe_request"]
    assert json.loads(sfeed.unsubscribe("index", ["nse_cm|Nifty 50"])) == {
        "event": "unsubscribeIndices",
        "inputtoken": "nse_cm|Nifty 50",
    }


def test_an_accepted_login_names_the_dividers() -> None:
    reply = sfeed.read_control(json.dumps(SPEC["auth_response"]))
    assert isinstance(reply, sfeed.AuthReply)
    assert reply.accepted
    # those it did not name keep the published value
    assert reply.dividers == DIVIDERS


@pytest.mark.parametrize(
    "message", [{"message_code": 1120}, {"message_code": 1119, "format": "native_fallback"}]
)
def test_a_refused_or_downgraded_login_is_not_accepted(message: dict[str, Any]) -> None:
    reply = sfeed.read_control(json.dumps(message))
    assert isinstance(reply, sfeed.AuthReply)
    assert not reply.accepted


@pytest.mark.parametrize(
    "message",
    [
        SPEC["subscribe_ack"],
        {"message_code": 1109, "data": {"nse_cm|90001": {"cas_status": "", "trading_symbols": "DEMOIND-EQ"}}},
    ],
)
def test_both_shapes_of_the_subscribe_ack_are_read(message: dict[str, Any]) -> None:
    reply = sfeed.read_control(json.dumps(message))
    assert isinstance(reply, sfeed.Subscribed)
    assert reply.symbols["nse_cm|90001"] == "DEMOIND-EQ"


@pytest.mark.parametrize("text", ["", "{", "[1]", "12", b'"\xff"', "[" * 100_000], ids=range(6))
def test_a_control_text_that_is_no_object_is_an_error(text: str | bytes) -> None:
    with pytest.raises(WireError):
        sfeed.read_control(text)
