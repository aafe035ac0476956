"""The file format: whole, cut anywhere, torn in the middle; the recorder that writes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.model import FeedState, InstrumentKey, Mode
from gateway.stream import recording
from gateway.stream.hub import Hub, Want
from gateway.stream.recorder import Recorder, Recordings
from gateway.stream.recording import Event, Header, Kind, Parser, Reading, RecordingError, WantMark
from gateway.stream.topics import Name
from tests.gateway.stream.rig import instrument

HEADER = Header(recording.FORMAT, "dhan", "sim", "one", "always", 1)
SBIN = instrument("NSE", "SBIN")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def recorded(folder: Path, frames: int = 300, **limits: int) -> Recorder:
    recorder = Recorder(folder, HEADER, **limits)
    recorder.feed()
    recorder.want(Want(SBIN, Mode.DEPTH))
    recorder.opened("market 1")
    recorder.frame("market 1", "hello", 5, login=True)
    for number in range(frames):
        recorder.frame("market 1", os.urandom(100) + number.to_bytes(4, "big"), 1000 + number, login=False)
        if number % 50 == 49:
            recorder.flush()
    recorder.state(FeedState.LIVE, "well")
    recorder.closed("market 1")
    recorder.close()
    return recorder


def frames(events: list[Event]) -> list[int]:
    return [int.from_bytes(e.value[-4:], "big") for e in events if e.kind is Kind.FRAME]


def test_what_was_heard_and_asked_is_read_back_in_order(tmp_path: Path) -> None:
    recorded(tmp_path / "a")
    reading = Reading()
    events = list(recording.read(tmp_path / "a", reading))
    assert events[0].kind is Kind.HEADER
    assert events[0].value == HEADER
    want = next(e for e in events if e.kind is Kind.WANT).value
    assert want == WantMark(SBIN, 3, 0)
    assert want.want() == Want(SBIN, Mode.DEPTH)
    login = next(e for e in events if e.kind is Kind.LOGIN)
    assert (login.value, login.socket, login.at_ns) == ("hello", "market 1", 5)
    assert frames(events) == list(range(300))
    assert [e.at_ns for e in events if e.kind is Kind.FRAME] == list(range(1000, 1300))
    assert [e.kind for e in events[-2:]] == [Kind.STATE, Kind.CLOSED]
    assert events[-2].value == ("live", "well")
    assert reading.torn == {}
    assert oct((tmp_path / "a" / "000001.rec.zst").stat().st_mode)[-3:] == "600"


def test_segments_turn_over_and_each_can_be_read_alone(tmp_path: Path) -> None:
    recorded(tmp_path / "a", 600, segment_bytes=12_000)
    paths = recording.segments(tmp_path / "a")
    assert len(paths) > 3
    assert frames(list(recording.read(paths[0]))) == list(range(600))
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "000003.rec.zst").write_bytes(paths[2].read_bytes())
    some = list(recording.read(alone))
    assert some[0].value.segment == 3
    assert {e.socket for e in some if e.kind is Kind.FRAME} == {"market 1"}


def test_a_torn_tail_costs_only_what_is_torn(tmp_path: Path) -> None:
    recorded(tmp_path / "a")
    path = tmp_path / "a" / "000001.rec.zst"
    whole = path.read_bytes()
    seen = -1
    for size in range(len(whole) - 1, 200, -997):
        path.write_bytes(whole[:size])
        reading = Reading()
        found = frames(list(recording.read(path, reading)))
        assert found == list(range(len(found)))
        assert len(found) <= 300
        # at the end of a block nothing is torn: a recording that was ended there looks the same
        assert reading.torn or len(found) % 50 == 0
        seen = max(seen, len(found))
    assert seen >= 250


def test_a_block_that_rotted_ends_its_segment_and_the_next_goes_on(tmp_path: Path) -> None:
    recorded(tmp_path / "a", 600, segment_bytes=12_000)
    path = recording.segments(tmp_path / "a")[1]
    rotten = bytearray(path.read_bytes())
    rotten[len(rotten) // 2] ^= 0xFF
    path.write_bytes(rotten)
    reading = Reading()
    found = frames(list(recording.read(tmp_path / "a", reading)))
    assert list(reading.torn) == [path.name]
    assert found[-1] == 599
    assert 400 < len(found) < 600


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "nothing readable"),
        (b"plain text", "nothing readable"),
        (recording.squeeze(b"\x63" + bytes(12)), "kind 99"),
        (recording.squeeze(recording.plain(Kind.HEADER, 1, {"format": 1})), "HEADER"),
        (recording.squeeze(recording.plain(Kind.LOST, 1, 5)), "header"),
    ],
)
def test_what_is_no_recording_is_an_error_that_says_so(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "000001.rec.zst").write_bytes(content)
    with pytest.raises(RecordingError, match=words):
        list(recording.read(tmp_path))


def test_another_format_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no recording"):
        list(recording.read(tmp_path))
    later = recording.plain(Kind.HEADER, 1, Header(9, "dhan", "sim", "one", "always", 1))
    (tmp_path / "000001.rec.zst").write_bytes(recording.squeeze(later))
    with pytest.raises(RecordingError, match="format 9"):
        list(recording.read(tmp_path))


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 40))
def test_random_bytes_raise_nothing_but_our_error(data: bytes, step: int) -> None:
    parser = Parser()
    try:
        for at in range(0, len(data), step):
            list(parser.feed(data[at : at + step]))
    except RecordingError:
        pass


def test_a_disk_that_is_too_slow_costs_counted_frames(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "a", HEADER, most_waiting=-1)
    recorder.opened("x")
    for number in range(5):
        recorder.frame("x", b"1234", number, login=False)
    assert (recorder.counts.lost, recorder.counts.frames) == (5, 0)
    recorder._most_waiting = 1 << 20
    recorder.flush()
    recorder.frame("x", b"1234", 9, login=False)
    recorder.close()
    events = list(recording.read(tmp_path / "a"))
    assert [e.value for e in events if e.kind is Kind.LOST] == [5]
    assert [e.at_ns for e in events if e.kind is Kind.FRAME] == [9]


def test_a_folder_that_cannot_be_written_ends_the_recording_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    recorder = Recorder(tmp_path / "a", HEADER)
    until(lambda: not recorder.is_open)
    assert "exists" in recorder.problem
    recorder.opened("x")
    recorder.frame("x", b"1", 1, login=False)
    recorder.close()


def test_a_recording_ends_at_its_largest_size(tmp_path: Path) -> None:
    recorder = recorded(tmp_path / "a", 600, segment_bytes=12_000, most_bytes=20_000)
    assert not recorder.is_open
    assert "ended at" in recorder.problem
    assert 0 < len(frames(list(recording.read(tmp_path / "a")))) < 600


class Keeper:
    listens = False


def test_the_request_file_begins_and_ends_recordings(tmp_path: Path) -> None:
    hub: Hub[Keeper] = Hub(10, "dhan")
    channel = hub.subscribe(Keeper(), Name("NSE", "SBIN", Mode.LTP), SBIN, 0.0).channel
    channel.seq = 41
    renewed: list[str] = []
    recordings = Recordings(
        tmp_path / "record", HEADER, renew=renewed.append, channels=lambda: list(hub.channels())
    )
    recordings.look()
    assert recordings.begin() is None
    assert not (tmp_path / "record").exists()
    (tmp_path / "record").mkdir()
    request = tmp_path / "record" / "one.request"
    request.write_text("1")
    recordings.look()
    assert renewed == ["a recording begins"]
    recorder = recordings.begin()
    assert recorder is not None
    assert recordings.begin() is recorder, "a feed that crashed goes on in the same recording"
    request.unlink()
    recordings.look()
    assert not recorder.is_open
    assert recordings.begin() is None
    kinds = [e.kind for e in recording.read(recorder.folder)]
    assert kinds == [Kind.HEADER, Kind.FEED, Kind.CHANNEL, Kind.FEED, Kind.CHANNEL]
    mark = next(e.value for e in recording.read(recorder.folder) if e.kind is Kind.CHANNEL)
    assert (mark.name, mark.seq, mark.instrument.key) == (channel.name, 41, InstrumentKey("NSE", "SBIN"))
    status = (tmp_path / "record" / "one.status").read_text()
    assert '"recording": false' in status
    assert str(recorder.folder) in status
