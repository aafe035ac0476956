from __future__ import annotations

import itertools
import random

import pytest

from gateway.latency.histograms import Histogram, merged

MS = 1_000_000


def of(*durations_ns: int) -> Histogram:
    made = Histogram()
    for one in durations_ns:
        made.record_ns(one)
    return made


def test_quantiles_are_within_a_thousandth_over_five_decades():
    dice = random.Random(8)
    durations = sorted(int(10 ** dice.uniform(4, 9)) for _ in range(5000))
    found = of(*durations).figures()
    for shown, q in ((found.p50_ms, 0.5), (found.p90_ms, 0.9), (found.p99_ms, 0.99), (found.max_ms, 1.0)):
        assert shown == pytest.approx(durations[int(q * 5000) - 1] / MS, rel=0.0011, abs=0.001)


def test_the_sum_of_two_days_is_what_one_histogram_of_both_would_be():
    a, b = [MS * n for n in range(1, 400)], [MS * n for n in range(300, 900)]
    whole = of(*a, *b)
    both = merged([of(*a).encode(), of(*b).encode()])
    assert (both.n, both.figures(), both.bars()) == (whole.n, whole.figures(), whole.bars())
    assert both.encode() == whole.encode()


def test_what_is_shorter_or_longer_than_it_holds_counts_at_its_ends():
    found = of(0, 10, 10**18)
    assert found.n == 3
    assert found.figures().p50_ms == 0.001
    assert found.figures().max_ms == pytest.approx(86_400_000, rel=0.001)


def test_bars_hold_every_sample_once_and_leave_no_gap():
    found = of(*(MS * n for n in (1, 5, 5, 90, 20_000))).bars()
    assert sum(bar.count for bar in found) == 5
    assert all(a.high_ms == b.low_ms for a, b in itertools.pairwise(found))
    assert found[0].count
    assert found[-1].count


def test_an_empty_one_says_nothing_and_garbage_is_refused():
    assert Histogram().figures() is None
    assert Histogram().bars() == []
    for data in (b"", b"xx", b"HISTFAAAAI94nJNpmSzM"):
        with pytest.raises(ValueError, match="not an HDR histogram"):
            Histogram.decode(data)
