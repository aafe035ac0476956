"""SFeed packets and control messages against the golden vectors."""

from __future__ import annotations

import json

import pytest

from brokers.sim.exchange.types import BookLevel, Kind
from brokers.sim.kotak import sfeed
from tests.brokers.sim.kotak.test_hsm import make_listing, make_snapshot
from tests.brokers.sim.kotak.vectors import VECTORS, sfeed_frame

BASE = {
    "total_buy": 410_200,
    "total_sell": 398_750,
    "last_trade_s": 1795149929,
    "updated_s": 1795149930,
    "precision": 2,
}
OPTION = sfeed.Picture(
    segment="nse_fo",
    token=50001,
    open=10_500,
    high=12_000,
    low=9_800,
    close=10_000,
    ltp=11_235,
    average=11_012,
    last_quantity=75,
    volume=75_000,
    open_interest=1_500_000,
    upper_circuit=45_000,
    lower_circuit=5,
    year_high=40_000,
    year_low=5,
    turnover=825_900_000.0,
    lot=75,
    bids=tuple(BookLevel(11_230 - 5 * i, 150 * (i + 1), i + 2) for i in range(5)),
    asks=tuple(BookLevel(11_240 + 5 * i, 225 + 150 * i, i + 1) for i in range(5)),
    **BASE,
)
INDEX = sfeed.Picture(
    segment="nse_cm",
    token=26000,
    open=2_422_050,
    high=2_440_000,
    low=2_418_025,
    close=2_420_000,
    ltp=2_435_075,
    average=0,
    last_quantity=0,
    volume=0,
    open_interest=0,
    upper_circuit=0,
    lower_circuit=0,
    year_high=2_630_000,
    year_low=2_175_000,
    turnover=0.0,
    lot=1,
    bids=(),
    asks=(),
    **BASE,
)
SHARE = sfeed.Picture(
    segment="nse_cm",
    token=90001,
    open=0,
    high=0,
    low=0,
    close=102_200,
    ltp=102_550,
    average=0,
    last_quantity=25,
    volume=0,
    open_interest=0,
    upper_circuit=0,
    lower_circuit=0,
    year_high=0,
    year_low=0,
    turnover=0.0,
    lot=1,
    bids=(),
    asks=(),
    **(BASE | {"last_trade_s": 1795149930}),
)

PACKETS = {
    "index_7207": sfeed.index_packet(INDEX, "Nifty 50"),
    "mini_touch_line_level_1": sfeed.mini_packet(SHARE),
    "touch_line_level_4": sfeed.picture_packet(OPTION, sfeed.Level.TOUCH),
    "depth_level_8": sfeed.picture_packet(OPTION, sfeed.Level.DEPTH),
    "market_status_105": sfeed.status_packet("nse_cm", 1, "OPEN"),
    "closing_auction_104": sfeed.closing_packet("nse_cm", 90001, 102_500, 1200, -300),
    "market_open_6511": sfeed.bare_packet(sfeed.CODE_OPEN, "nse_cm"),
    "market_close_6521": sfeed.bare_packet(sfeed.CODE_CLOSE, "nse_cm"),
}


@pytest.mark.parametrize("name", list(PACKETS))
def test_packets_reproduce_the_vectors(name):
    vector = sfeed_frame(name)
    assert PACKETS[name].hex() == vector["hex"]
    assert len(PACKETS[name]) == vector["length"]


def test_a_batch_is_packets_laid_end_to_end():
    packed = PACKETS["index_7207"] + PACKETS["mini_touch_line_level_1"]
    assert packed.hex() == sfeed_frame("batch_two_packets")["hex"]


def test_control_messages_match_the_vectors():
    assert json.loads(sfeed.auth_reply()) == VECTORS["sfeed"]["auth_response"]
    ack = json.loads(sfeed.subscribe_ack(VECTORS["sfeed"]["subscribe_ack"]["trading_symbols"]))
    assert ack.items() >= VECTORS["sfeed"]["subscribe_ack"].items()
    assert ack["data"]["nse_cm|90001"] == {"cas_status": 0, "trading_symbols": "DEMOIND-EQ"}
    assert json.loads(sfeed.auth_refused())["message_code"] == 1120


def test_dividers_are_the_published_ones():
    ids = {str(number): sfeed.divider(seg) for seg, number in sfeed.SFEED_ID.items()}
    assert ids == VECTORS["sfeed"]["dividers"]


def test_a_touch_line_always_has_one_row_a_side():
    packet = sfeed.packet(make_snapshot(bids=(), asks=()), sfeed.Level.TOUCH)
    assert len(packet) == 176
    depth = sfeed.packet(make_snapshot(bids=(), asks=()), sfeed.Level.DEPTH)
    assert len(depth) == 144


def test_a_snapshot_of_a_share_is_in_paise():
    packet = sfeed.packet(make_snapshot(), sfeed.Level.MINI, sequence=300)
    token, traded, ltp, quantity, close, pct, change, lot, precision, multiplier = sfeed.MINI.unpack_from(
        packet, sfeed.HEADER.size
    )
    assert (token, traded, ltp, quantity, close) == (90001, 1795149929, 102_550, 25, 102_200)
    assert (pct, change, lot, precision, multiplier) == (34, 350, 1, 2, 1)
    assert sfeed.HEADER.unpack_from(packet)[5] == 300 % 256


def test_currency_prices_are_in_its_divider():
    listing = make_listing(exchange="CDS", kind=Kind.FUTURE)
    picture = sfeed.from_snapshot(make_snapshot(listing, ltp_paise=8450, bids=(BookLevel(8449, 3, 1),)))
    assert picture.ltp / sfeed.divider(picture.segment) == 84.5
    assert picture.bids[0].price_paise == 844_900_000


@pytest.mark.parametrize(
    ("change", "expected"), [(12.35, 1235), (-12.35, -1235), (0.005, 1), (-0.005, -1), (0, 0)]
)
def test_percent_is_in_hundredths_rounded_half_away(change, expected):
    assert sfeed.percent(round(change * 100 * 100), 1_000_000) == expected
