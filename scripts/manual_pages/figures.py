"""Metrics of both processes of an instance, from the functions that collect them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from prometheus_client.core import Metric

from gateway.api import metrics as api
from gateway.stream import exposed as feed
from scripts.manual_pages.words import NOTE, code, joined, table

HEAD = """\
# Metrics

`GET /metrics` answers in the text format of Prometheus on the web port (the api process) and on the
WebSocket port (the feed process) of every instance, without a key, on loopback and to the names in
`ALLOWED_HOSTS` only. Counters end in `_total`. A value that is not known has no line. Beside these stand
the usual `process_…` figures: memory, CPU, descriptors. Each page begins with `algo_info`, whose labels say
whose it is: `instance`, `broker`, `venue`, `process`.

```yaml
# prometheus.yml: the ports of one instance (WEBSOCKET_PORT and FLASK_PORT of its env file)
scrape_configs:
  - job_name: algo
    static_configs:
      - targets: ["127.0.0.1:5001", "127.0.0.1:8766"]
```
"""


class Anything(defaultdict[str, Any]):
    """Stands for a status page: whatever is asked for is another such page, or nothing."""

    def __init__(self) -> None:
        super().__init__(Anything)

    def get(self, key: str, default: Any = None) -> Any:
        return default


@dataclass
class Lane:
    granted: int = 0
    waited: int = 0
    waited_s: float = 0.0
    refused: int = 0


def of_api() -> list[Metric]:
    status = SimpleNamespace(ready=True, unknown=0, foreign=0, blocked="", drift=())
    figures = SimpleNamespace(today={"STATE": 1}, events={"KIND": 1}, lanes={"LANE": Lane()})
    session = SimpleNamespace(state="valid", generation=1)
    market = SimpleNamespace(broker_calls=0, ticks=SimpleNamespace(heard=0, gaps=0))
    parts: Any = SimpleNamespace(
        desk=SimpleNamespace(status=lambda: status, figures=lambda: figures),
        session=SimpleNamespace(status=lambda: session),
        instruments=SimpleNamespace(count=lambda: 0),
        market=market,
    )
    return list(api._collect(parts))


def of_feed() -> list[Metric]:
    status: Any = Anything()
    status["channels"] = {"STATE": 0, "total": 0}
    status["order_updates"] = {"waiting": 0, "WHAT": 0}
    for name in ("ready", "subscribed", "live", "feed_crashes", "clients"):
        status[name] = 0
    status["bus"] = dict.fromkeys(("sent", "overflows", "subscriptions"), 0)
    return list(feed.collect(status))


def _rows(found: Iterable[Metric]) -> Iterable[tuple[str, str, str, str]]:
    for one in found:
        name = f"{one.name}_total" if one.type == "counter" else one.name
        labels = sorted({label for sample in one.samples for label in sample.labels})
        labels = labels or list(getattr(one, "_labelnames", ()))
        yield code(name), one.type, ", ".join(map(code, labels)), one.documentation


def page() -> str:
    heads = ("Metric", "Kind", "Labels", "Meaning")
    return joined(
        [
            NOTE,
            "",
            HEAD,
            "## The api process",
            "",
            *table(heads, _rows(of_api())),
            "## The feed process",
            "",
            *table(heads, _rows(of_feed())),
        ]
    )
