"""The server's HSM codec against the golden vectors, and what it must never send."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from brokers.errors import WireError
from brokers.sim.exchange.types import BookLevel, Kind, Listing, Snapshot
from brokers.sim.kotak import hsm
from tests.brokers.sim.kotak.vectors import hsm_step, hsm_steps

REPLIES = [(i, s) for i, s in hsm_steps("server_to_client") if s["structure"]["type"] != 6]
DATA = [(i, s) for i, s in hsm_steps("server_to_client") if s["structure"]["type"] == 6]
# deliberately broken frames that no encoder of ours can make
UNENCODABLE = {"hazard_unknown_kind-unknown_kind"}
DATA = [(i, s) for i, s in DATA if i not in UNENCODABLE]


def make_listing(**changes: Any) -> Listing:
    fields: dict[str, Any] = {
        "exchange": "NSE",
        "symbol": "DEMOIND",
        "token": 90001,
        "kind": Kind.EQUITY,
        "name": "Demo Industries",
        "root": "DEMOIND",
        "isin": "INE000A00001",
        "lot_size": 1,
        "tick_paise": 5,
        "freeze_qty": 100_000,
        "base_paise": 102_200,
    }
    return Listing(**(fields | changes))


def make_snapshot(listing: Listing | None = None, **changes: Any) -> Snapshot:
    at = datetime.fromtimestamp(1795149930, UTC)
    fields: dict[str, Any] = {
        "listing": listing or make_listing(),
        "at": at,
        "seq": 1,
        "ltp_paise": 102_550,
        "open_paise": 101_500,
        "high_paise": 103_000,
        "low_paise": 101_000,
        "prev_close_paise": 102_200,
        "average_paise": 102_110,
        "last_quantity": 25,
        "last_trade_at": datetime.fromtimestamp(1795149929, UTC),
        "volume": 1_250_000,
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "prev_oi": 0,
        "total_buy": 410_200,
        "total_sell": 398_750,
        "lower_circuit_paise": 92_000,
        "upper_circuit_paise": 112_400,
        "bids": tuple(BookLevel(102_545 - 5 * i, 120 + i, i + 1) for i in range(5)),
        "asks": tuple(BookLevel(102_555 + 5 * i, 75 + i, i + 2) for i in range(5)),
    }
    return Snapshot(**(fields | changes))


@pytest.mark.parametrize("step", [s for _, s in REPLIES], ids=[i for i, _ in REPLIES])
def test_replies_reproduce_the_vectors(step):
    structure = step["structure"]
    kind = structure["type"]
    if structure["field_count"] == 0:
        made = hsm.connect_reply_without_fields()
    elif kind == hsm.Type.CONNECT:
        fields = structure["fields"]
        every = int(fields[1]["hex"], 16) if len(fields) > 1 else None
        width = fields[1]["len"] if len(fields) > 1 else 4
        made = hsm.connect_reply(accepted=fields[0]["hex"] == "4b", ack_every=every, ack_bytes=width)
    else:
        made = hsm.status(hsm.Type(kind), ok=structure["fields"][0]["hex"] == "4b")
    assert made.hex() == step["hex"]


def encode(structure: dict[str, Any], known: dict[int, str]) -> bytes:
    packets = []
    for p in structure["packets"]:
        values = p.get("ints") or list(p["fields"].values())
        values = [None if v == hsm.NO_VALUE else v for v in values]
        if p["kind"] == "SNAP":
            strings = [(int(n), text) for n, text in p["strings"].items()]
            packets.append(hsm.snapshot_packet(p["topic_id"], p["topic_name"], values, strings))
        else:
            packets.append(hsm.update_packet(p["topic_id"], values))
    return hsm.data_frame(packets, structure.get("message_number"))


@pytest.mark.parametrize("step", [s for _, s in DATA], ids=[i for i, _ in DATA])
def test_data_frames_reproduce_the_vectors(step):
    assert encode(step["structure"], {}).hex() == step["hex"]


@pytest.mark.parametrize("prefix", ["sf", "if", "dp"])
def test_field_order_is_the_published_one(prefix):
    scenario = {"sf": "scrip_flow", "if": "index_flow", "dp": "depth_flow"}[prefix]
    name = {"sf": "scrip_snapshot", "if": "index_snapshot", "dp": "depth_snapshot"}[prefix]
    packet = hsm_step(scenario, name)["structure"]["packets"][0]
    assert list(hsm.FIELDS[prefix]) == list(packet["fields"])
    assert len(hsm.FIELDS[prefix]) == packet["int_count"]


CLIENT = hsm_steps("client_to_server")


@pytest.mark.parametrize("step", [s for _, s in CLIENT], ids=[i for i, _ in CLIENT])
def test_every_client_frame_is_understood(step):
    structure = step["structure"]
    request = hsm.parse(bytes.fromhex(step["hex"]))
    kind = structure["type"]
    if kind == 1:
        expected: hsm.Request = hsm.Connect(structure["field_1"], structure["field_2"], structure["field_3"])
    elif kind in (4, 5):
        topics = tuple(structure["field_1"]["topics"])
        expected = hsm.Topics(hsm.Type(kind), topics, structure["field_2"]["channel"])
    elif kind == 9:
        expected = hsm.Topics(hsm.Type.SNAPSHOT, tuple(structure["field_2"]["topics"]), 0)
    elif kind == 3:
        expected = hsm.Ack(structure["field_1"])
    elif kind == 2:
        expected = hsm.Throttle(structure["field_1"])
    else:
        expected = hsm.Channels(hsm.Type(kind), (2,))
    assert request == expected


@pytest.mark.parametrize(
    ("scenario", "name"), [("conn_ok_one_field", "connect"), ("scrip_flow", "subscribe_scrip")]
)
def test_a_client_frame_cut_anywhere_is_an_error(scenario, name):
    whole = bytes.fromhex(hsm_step(scenario, name)["hex"])
    for keep in range(len(whole)):
        with pytest.raises(WireError):
            hsm.parse(whole[:keep])
        # even when the length prefix was rewritten to match
        if keep > 4:
            with pytest.raises(WireError):
                hsm.parse(struct.pack(">H", keep - 2) + whole[2:keep])


def test_a_quote_carries_the_vector_s_numbers():
    values = dict(zip(hsm.SCRIP_FIELDS, hsm.scrip_values(make_snapshot()), strict=True))
    vector = hsm_step("scrip_flow", "scrip_snapshot")["structure"]["packets"][0]["fields"]
    made_up = {"ftm0", "dtm1", "yh", "yl"}  # the exchange keeps no such values
    for name in set(hsm.SCRIP_FIELDS) - made_up:
        assert values[name] == vector[name], name
    assert values["yh"] >= values["h"]
    assert 0 < values["yl"] <= values["lo"]


def test_currency_has_four_decimals():
    listing = make_listing(exchange="CDS", kind=Kind.FUTURE, tick_paise=1)
    values = dict(
        zip(hsm.SCRIP_FIELDS, hsm.scrip_values(make_snapshot(listing, ltp_paise=8450)), strict=True)
    )
    assert (values["ltp"], values["prec"]) == (845_000, 4)


def test_a_close_of_zero_is_absent_because_clients_divide_by_it():
    values = hsm.scrip_values(make_snapshot(prev_close_paise=0))
    assert values[hsm.SCRIP_FIELDS.index("c")] is None
    index = hsm.index_values(make_snapshot(prev_close_paise=0))
    assert index[hsm.INDEX_FIELDS.index("ic")] is None


def test_depth_keeps_levels_apart_and_fills_a_thin_book_with_zeros():
    values = dict(zip(hsm.DEPTH_FIELDS, hsm.depth_values(make_snapshot()), strict=True))
    assert [values[n] for n in ("bp", "bp4", "sp", "sp4")] == [102_545, 102_525, 102_555, 102_575]
    assert [values[n] for n in ("bq1", "bs1", "bno2", "sno5")] == [121, 76, 2, 6]
    thin = dict(zip(hsm.DEPTH_FIELDS, hsm.depth_values(make_snapshot(asks=())), strict=True))
    assert (thin["sp"], thin["bs4"], thin["mul"], thin["prec"]) == (0, 0, 1, 2)


def test_changes_leave_only_what_moved():
    before = hsm.scrip_values(make_snapshot())
    after = hsm.scrip_values(make_snapshot(ltp_paise=102_555))
    moved = hsm.changes(before, after)
    assert [name for name, v in zip(hsm.SCRIP_FIELDS, moved, strict=True) if v is not None] == ["ltp"]
