from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import metrics
from gateway.metrics import counter, counters, gauge, gauges


def read(text):
    """(name, labels) -> value of every sample, by somebody else's parser."""
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_a_page_is_prometheus_text_with_who_it_is():
    def collect():
        yield from gauge("ready", "r", True)
        yield from gauge("unheard", "u", None)
        yield from gauges("orders", "o", "state", {"open": 2, 'od"d\n': 1})
        yield from counter("frames", "f", 7)
        yield from counters("waits", "w", "lane", {"entry": 1.5})

    page = metrics.Page({"instance": "dhan", "process": "api"}, collect)
    found = read(page.text())
    assert found["algo_info", (("instance", "dhan"), ("process", "api"))] == 1
    assert found["algo_ready", ()] == 1
    assert ("algo_unheard", ()) not in found
    assert found["algo_orders", (("state", "open"),)] == 2
    assert found["algo_orders", (("state", 'od"d\n'),)] == 1
    assert found["algo_frames_total", ()] == 7
    assert found["algo_waits_total", (("lane", "entry"),)] == 1.5


def test_values_are_taken_anew_each_time_and_only_when_asked():
    asked = []

    def collect():
        asked.append(1)
        yield from counter("asked", "a", len(asked))

    page = metrics.Page({}, collect)
    assert asked == []
    assert [read(page.text())["algo_asked_total", ()] for _ in range(2)] == [1, 2]


def test_a_value_that_cannot_be_taken_is_an_error_and_no_zero():
    def collect():
        raise RuntimeError("the journal is locked")
        yield

    with pytest.raises(RuntimeError):
        metrics.Page({}, collect).text()
