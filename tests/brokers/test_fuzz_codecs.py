"""10,000 random and mutated frames per codec raise nothing but the codec's own error."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.brokers.codecs import CODECS, Codec, fuzz_feeds, mutated

COUNT = 10_000
SEED = 20261120


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_mutated_frames_raise_only_the_codecs_own_error(codec: Codec) -> None:
    assert codec.seeds
    source = random.Random(SEED)
    read = refused = 0
    for _ in range(COUNT):
        frame = mutated(source, codec.seeds)
        try:
            codec.read(frame)
            read += 1
        except codec.errors:
            refused += 1
    # a target that accepts or refuses everything would prove nothing
    assert read > COUNT // 100
    assert refused > COUNT // 100


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_what_hypothesis_thinks_of_raises_only_the_codecs_own_error(codec: Codec) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @example(b"")
    @given(
        st.one_of(
            st.binary(max_size=400),
            st.builds(_bend, st.sampled_from(codec.seeds), st.binary(max_size=12), st.integers(0, 400)),
        )
    )
    def run(frame: bytes) -> None:
        try:
            codec.read(frame)
        except codec.errors:
            return

    run()


def _bend(seed: bytes, patch: bytes, at: int) -> bytes:
    at %= len(seed) + 1
    return seed[:at] + patch + seed[at + len(patch) :]


def test_whole_feeds_swallow_them_count_them_and_go_on() -> None:
    for name, sink in fuzz_feeds(COUNT // 5, SEED).items():
        assert sink.bad > 100, name
        assert sink.ticks > 100, name
