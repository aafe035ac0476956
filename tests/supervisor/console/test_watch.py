"""One look for all tabs, none for nobody."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from supervisor.console.watch import Watch


class Source:
    """Counts the looks; ``books`` may be changed."""

    def __init__(self) -> None:
        self.looks = 0
        self.books: dict[str, Any] = {"orders": []}

    def __call__(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.looks += 1
        return {"n": self.looks}, self.books


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def watch(source: Source) -> Iterator[Watch]:
    one = Watch(source, every_s=0.02)
    one.start()
    yield one
    one.stop()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def events(text: bytes) -> dict[str, Any]:
    blocks = [block.split("\n") for block in text.decode().strip().split("\n\n")]
    return {lines[0].removeprefix("event: "): json.loads(lines[1].removeprefix("data: ")) for lines in blocks}


def test_many_tabs_cost_one_look_each_round(watch: Watch, source: Source) -> None:
    ten = [watch.stream(lambda: True) for _ in range(10)]
    readers = [threading.Thread(target=lambda s=s: list(itertools.islice(s, 5))) for s in ten]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(5)
    assert 5 <= source.looks < 30, "a look for each tab would be fifty"


def test_nobody_looks_for_nobody(watch: Watch, source: Source) -> None:
    stream = watch.stream(lambda: True)
    next(stream)
    assert watch.listeners == 1
    stream.close()
    until(lambda: watch.listeners == 0)
    time.sleep(0.05)
    after = source.looks
    time.sleep(0.1)
    assert source.looks == after


def test_books_are_sent_when_they_differ(watch: Watch, source: Source) -> None:
    stream = watch.stream(lambda: True)
    assert set(events(next(stream))) == {"fleet", "books"}
    assert set(events(next(stream))) == {"fleet"}
    source.books = {"orders": [1]}
    found: dict[str, Any] = {}
    while "books" not in found:
        found = events(next(stream))
    assert found["books"] == {"orders": [1]}


def test_a_stream_ends_with_its_web_session(watch: Watch) -> None:
    signed_in = [True]
    stream = watch.stream(lambda: signed_in[0])
    next(stream)
    signed_in[0] = False
    assert list(stream) == [b"event: gone\ndata: {}\n\n"]
    assert watch.listeners == 0


def test_a_first_paint_is_not_older_than_a_round(source: Source) -> None:
    watch = Watch(source, every_s=0.05)
    assert watch.now() is watch.now()
    time.sleep(0.06)
    assert watch.now().fleet == {"n": 2}


def test_a_failed_look_does_not_end_the_looking(watch: Watch, source: Source) -> None:
    stream = watch.stream(lambda: True)
    next(stream)
    source.books = {"orders": {1, 2}}  # not JSON
    looks = source.looks
    until(lambda: source.looks > looks + 1)
    source.books = {"orders": []}
    assert events(next(stream))["fleet"]["n"] > looks
