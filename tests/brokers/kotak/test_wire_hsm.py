"""HSM frames against the golden vectors: built byte for byte, read field for field."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime
from typing import Any

import pytest

from brokers.clock import IST
from brokers.errors import WireError
from brokers.kotak.wire import hsm
from tests.brokers.kotak.vectors import SCENARIOS, hsm_frame

STEPS = [(name, step) for name, s in SCENARIOS.items() for step in s["steps"]]
CLIENT = [(n, s) for n, s in STEPS if s["dir"] == "client_to_server"]
SERVER = [(n, s) for n, s in STEPS if s["dir"] == "server_to_client"]
DATA_STEPS = [(n, s) for n, s in SERVER if s["structure"]["type"] == 6]
# fields the v2 client prints as text we do not derive
DERIVED = {"cng", "nc", "to", "request_type", "name", "ts", "tk", "e", "ftm0", "dtm1", "mul", "prec"}
TIMES = {"fdtm", "ltt", "tvalue"}
COUNTS = {"v", "ltq", "tbq", "tsq", "bs", "oi"}


def ids(steps: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{name}-{step['name']}" for name, step in steps]


def build(step: dict[str, Any]) -> bytes:
    """The frame our builders make from a vector's raw layout."""
    s = step["structure"]
    match s["type"]:
        case 1:
            return hsm.connect(s["field_1"], s["field_2"])
        case 2:
            return hsm.throttle(s["field_1"], prefixed="unprefixed" not in step["name"])
        case 3:
            return hsm.acknowledge(s["field_1"])
        case 4:
            return hsm.subscribe(s["field_1"]["topics"], s["field_2"]["channel"])
        case 5:
            return hsm.unsubscribe(s["field_1"]["topics"], s["field_2"]["channel"])
        case 7 | 8:
            bits = s["field_1"]["channel_bits"]
            channels = [c for c in range(64) if bits >> c & 1]
            return (hsm.pause if s["type"] == 7 else hsm.resume)(channels)
        case 9:
            return hsm.snapshot(s["field_2"]["topics"])
    raise AssertionError(s)


@pytest.mark.parametrize(("scenario", "step"), CLIENT, ids=ids(CLIENT))
def test_client_frames_are_built_byte_for_byte(scenario: str, step: dict[str, Any]) -> None:
    assert build(step).hex() == step["hex"]
    assert len(build(step)) == step["length"]


@pytest.mark.parametrize(
    ("scenario", "step"),
    [(n, s) for n, s in SERVER if s["structure"]["type"] != 6 and n != "conn_zero_fields"],
)
def test_replies_are_read_as_the_official_client_does(scenario: str, step: dict[str, Any]) -> None:
    reply = hsm.read_reply(bytes.fromhex(step["hex"]))
    official = step["v2_client_json"][0]
    assert reply.accepted is (official["stat"] == "Ok")
    if step["structure"]["type"] == 1:
        fields = step["structure"]["fields"]
        assert isinstance(reply, hsm.ConnectReply)
        assert reply.ack_every == (int(fields[1]["hex"], 16) if len(fields) > 1 else 0)
    else:
        assert isinstance(reply, hsm.Status)
        assert reply.request == step["structure"]["type"]


def test_a_reply_without_fields_is_an_error() -> None:
    frame = hsm_frame("conn_zero_fields", "connection_response")
    with pytest.raises(WireError, match="without fields") as caught:
        hsm.read_reply(frame)
    assert caught.value.frame == frame


@pytest.mark.parametrize(("scenario", "step"), DATA_STEPS, ids=ids(DATA_STEPS))
def test_data_frames_match_their_raw_layout(scenario: str, step: dict[str, Any]) -> None:
    structure = step["structure"]
    frame = bytes.fromhex(step["hex"])
    numbered = "message_number" in structure
    skipped: Counter[str] = Counter()
    packets = list(hsm.split(frame, numbered=numbered, skipped=skipped))
    expected = [p for p in structure["packets"] if p["kind"] in ("SNAP", "UPDATE")]
    assert len(packets) == len(expected)
    assert skipped["unknown_kind"] == structure["packet_count"] - len(expected)
    if numbered:
        assert hsm.message_number(frame) == structure["message_number"]
    for packet, want in zip(packets, expected, strict=True):
        assert packet.topic_id == want["topic_id"]
        assert packet.is_snapshot is (want["kind"] == "SNAP")
        assert packet.name == want.get("topic_name", "")
        assert {str(k): v for k, v in packet.strings.items()} == want.get("strings", {})
        if "fields" in want:
            values = [hsm.NO_VALUE if v is None else v for v in want["fields"].values()]
            prefix = next(
                p for p, names in hsm.FIELDS.items() if list(names)[: len(values)] == list(want["fields"])
            )
            assert prefix in hsm.FIELDS
        else:
            values = want["ints"]
        assert list(packet.ints) == values


def said(topic: hsm.Topic, name: str) -> float | int | None:
    index = topic.fields.index(name)
    if name in TIMES or name in COUNTS or name[:2] in ("bq", "bs", "bn", "sn"):
        return topic.count(index)
    return topic.price(index)


@pytest.mark.parametrize("scenario", [n for n in SCENARIOS if not n.startswith(("hazard", "client"))])
def test_merged_topics_say_what_the_official_client_says(scenario: str) -> None:
    decoder = hsm.Decoder()
    for step in SCENARIOS[scenario]["steps"]:
        if step["dir"] == "client_to_server" or scenario == "conn_zero_fields":
            continue
        got = list(decoder.read(bytes.fromhex(step["hex"])))
        sends = [hsm.acknowledge(n).hex() for n in [decoder.due_acknowledgement()] if n is not None]
        assert sends == step.get("v2_client_sends", [])
        if step["structure"]["type"] != 6:
            continue
        official = step["v2_client_json"]
        assert len(got) == len(official)
        for topic, want in zip(got, official, strict=True):
            assert isinstance(topic, hsm.Topic)
            assert (topic.prefix, topic.token, topic.segment) == (want["name"], want["tk"], want["e"])
            assert topic.snapshot is (want["request_type"] == "SNAP")
            assert topic.trading_symbol == want.get("ts", topic.trading_symbol)
            for name in want.keys() - DERIVED:
                value = said(topic, name)
                if name in TIMES:
                    then = datetime.strptime(want[name], "%d/%m/%Y %H:%M:%S").replace(tzinfo=IST)
                    assert value == then.timestamp(), name
                else:
                    assert value == pytest.approx(float(want[name]), abs=1e-9), name
    assert not decoder.skipped


def test_a_field_never_sent_is_none_not_a_large_number() -> None:
    decoder = hsm.Decoder()
    (topic,) = decoder.read(hsm_frame("scrip_snapshot_untraded", "scrip_snapshot"))
    assert isinstance(topic, hsm.Topic)
    assert topic.price(5) is None
    assert topic.count(4) is None
    assert topic.price(21) == 1022.0


def test_an_update_of_a_later_field_keeps_the_earlier_ones() -> None:
    decoder = hsm.Decoder()
    for step in ("scrip_snapshot", "scrip_update_partial", "scrip_update_short", "scrip_update_no_change"):
        (topic,) = decoder.read(hsm_frame("scrip_flow", step))
    assert isinstance(topic, hsm.Topic)
    # volume and price of the short update, bid of the partial one, high of the snapshot
    assert (topic.count(4), topic.price(5), topic.price(9), topic.price(15)) == (
        1250045,
        1025.7,
        1025.7,
        1030.0,
    )


def test_hazard_volume_above_31_bits_stays_positive() -> None:
    decoder = hsm.Decoder()
    (topic,) = decoder.read(hsm_frame("hazard_volume_overflow", "scrip_snapshot"))
    assert isinstance(topic, hsm.Topic)
    assert topic.count(4) == 3_000_000_000


def test_hazard_close_of_zero_is_a_price_of_zero() -> None:
    decoder = hsm.Decoder()
    (topic,) = decoder.read(hsm_frame("hazard_close_zero", "scrip_snapshot"))
    assert isinstance(topic, hsm.Topic)
    assert (topic.price(21), topic.price(5)) == (0.0, 1025.5)


@pytest.mark.parametrize(
    ("scenario", "step", "reason"),
    [
        ("hazard_unknown_topic", "orphan_update", "unknown_topic"),
        ("hazard_missing_precision", "scrip_snapshot", "no_scale"),
        ("hazard_unknown_prefix", "unknown_prefix_snapshot", "unknown_prefix"),
        ("hazard_unknown_kind", "unknown_kind", "unknown_kind"),
    ],
)
def test_hazards_are_skipped_and_counted(scenario: str, step: str, reason: str) -> None:
    decoder = hsm.Decoder()
    assert list(decoder.read(hsm_frame(scenario, step))) == []
    assert decoder.skipped == {reason: 1}


@pytest.mark.parametrize("hazard", ["hazard_unknown_prefix", "hazard_unknown_kind"])
def test_a_packet_after_a_hazard_in_the_same_frame_is_still_read(hazard: str) -> None:
    bad = bytes.fromhex(SCENARIOS[hazard]["steps"][0]["hex"])[5:]
    good = hsm_frame("scrip_flow", "scrip_snapshot")[5:]
    frame = b"\0\0\x06\0\x02" + bad + good
    (topic,) = hsm.Decoder().read(frame)
    assert isinstance(topic, hsm.Topic)
    assert topic.token == "90001"


def test_a_new_snapshot_under_a_new_id_starts_over() -> None:
    decoder = hsm.Decoder()
    frames = SCENARIOS["resubscribe_new_topic_id"]["steps"]
    topics = [next(iter(decoder.read(bytes.fromhex(step["hex"])))) for step in frames]
    assert topics[1] is topics[2]
    assert topics[0] is not topics[1]


@pytest.mark.parametrize(("scenario", "step"), SERVER, ids=ids(SERVER))
def test_a_frame_cut_anywhere_is_an_error(scenario: str, step: dict[str, Any]) -> None:
    whole = bytes.fromhex(step["hex"])
    numbered = "message_number" in step["structure"]
    for keep in range(len(whole)):
        decoder = hsm.Decoder()
        decoder.ack_every = 2 if numbered else 0
        with pytest.raises(WireError) as caught:
            list(decoder.read(whole[:keep]))
        assert caught.value.frame == whole[:keep]


def test_packets_before_a_cut_are_not_lost() -> None:
    decoder = hsm.Decoder()
    frame = hsm_frame("batched_data_frame", "three_snapshots")
    got: list[object] = []
    with pytest.raises(WireError, match="cut short"):
        got.extend(decoder.read(frame[:-1]))
    assert len(got) == 2


def test_random_bytes_never_raise_anything_but_wire_errors() -> None:
    source, read, refused = random.Random(7), 0, 0
    seeds = [bytes.fromhex(s["hex"]) for _, s in SERVER]
    for _ in range(4000):
        frame = bytearray(source.choice(seeds))
        for _ in range(source.randint(1, 6)):
            frame[source.randrange(len(frame))] = source.randrange(256)
        decoder = hsm.Decoder()
        decoder.ack_every = source.choice([0, 2])
        try:
            for event in decoder.read(bytes(frame)):
                read += 1
                if isinstance(event, hsm.Topic):
                    event.price(2)
        except WireError:
            refused += 1
    assert min(read, refused) > 500


@pytest.mark.parametrize("count", [0, 101])
def test_a_frame_holds_one_to_a_hundred_topics(count: int) -> None:
    with pytest.raises(ValueError, match="expected 1-100"):
        hsm.subscribe([f"sf|nse_cm|{n}" for n in range(count)], 2)
