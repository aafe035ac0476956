"""Counters as Prometheus text.

Values are taken from where they are counted, when somebody asks: nothing on an order's or a tick's path
knows of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "algo_"


def gauge(name: str, help_text: str, value: float | None) -> Iterator[Metric]:
    """One value; a value that is not known has no line."""
    family = GaugeMetricFamily(PREFIX + name, help_text)
    if value is not None:
        family.add_metric([], value)
    yield family


def gauges(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Iterator[Metric]:
    """One value for each value of a label."""
    family = GaugeMetricFamily(PREFIX + name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    yield family


def counter(name: str, help_text: str, value: float) -> Iterator[Metric]:
    """A count that only grows; its name ends in ``_total`` on the page."""
    family = CounterMetricFamily(PREFIX + name, help_text)
    family.add_metric([], value)
    yield family


def counters(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Iterator[Metric]:
    """As ``counter``, for each value of a label."""
    family = CounterMetricFamily(PREFIX + name, help_text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    yield family


class Page:
    """The ``/metrics`` page of one process.

    Args:
        labels: Who it is: instance, broker, venue, process.
        collect: Takes every value now.
    """

    def __init__(self, labels: Mapping[str, str], collect: Callable[[], Iterable[Metric]]) -> None:
        self._labels = dict(labels)
        self._collect = collect
        self._registry = CollectorRegistry()
        self._registry.register(self)
        # memory, CPU, descriptors; says nothing where there is no /proc
        ProcessCollector(registry=self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing is measured to find out the names."""
        return ()

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(PREFIX + "info", "Which process this is", labels=list(self._labels))
        info.add_metric(list(self._labels.values()), 1)
        yield info
        yield from self._collect()

    def text(self) -> str:
        return generate_latest(self._registry).decode()
