from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.latency.presence import FEED, OPEN, RECONNECTS, SESSION, UP, Presence
from tests.gateway.latency.says import clock


class World:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "dhan.json"
        self.clock = clock()
        self.open = self.session = True
        self.look = Presence(
            self.file, self.clock, is_open=lambda: self.open, has_session=lambda: self.session
        )

    def beat(self, feed: str = "live", reconnects: int = 0, age_s: float = 0.0) -> None:
        at_ms = self.clock.time_ns() // 10**6 - int(age_s * 1000)
        self.file.write_text(json.dumps({"at_ms": at_ms, "feed": feed, "reconnects": reconnects, "more": 1}))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_time_counts_for_what_was_there_in_session(world):
    world.beat()
    assert world.look(5.0) == {UP: 5000, OPEN: 5000, SESSION: 5000, FEED: 5000}
    world.session = False
    world.beat("backoff")
    found = world.look(5.0)
    assert (found[OPEN], found[SESSION], found[FEED]) == (5000, 0, 0)


def test_out_of_session_only_the_process_is_up(world):
    world.open = False
    world.beat()
    assert world.look(5.0) == {UP: 5000}


@pytest.mark.parametrize("text", [None, "", "{", '{"at_ms": "now"}', "[]"])
def test_no_readable_heartbeat_is_no_feed(world, text):
    if text is not None:
        world.file.write_text(text)
    assert world.look(5.0)[FEED] == 0


def test_an_old_heartbeat_is_no_feed(world):
    world.beat(age_s=11)
    assert world.look(5.0)[FEED] == 0


def test_reconnects_are_what_was_added_also_over_a_new_feed(world):
    added = []
    for reconnects in (7, 7, 9, 1, 1):
        world.beat(reconnects=reconnects)
        added.append(world.look(5.0).get(RECONNECTS))
    assert added == [None, 0, 2, 1, 0]
