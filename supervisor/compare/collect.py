"""What the instances know, over loopback: the standing of a contract, stage times, figures of the day.

A probe run gets an API key of its own for each instance and revokes it at its end. Stage times and daily
figures are read from the latency databases, so that a stopped instance counts too; a running one is asked to
write down what it still holds first.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from brokers.errors import AlgoError, StoreError
from gateway.latency import passive, reader
from gateway.latency.model import CLOCK_SET, STAGES
from gateway.settings import Settings
from supervisor.client import CommandFailed, ask_running, message_of
from supervisor.compare.probe import Market, Standing, Window
from supervisor.compare.stats import Floats

ANSWER_S = 30.0
LABEL = "algo compare"


class Instance:
    """One running instance as the sender sees it; a connection for each thread."""

    def __init__(self, settings: Settings, exchange: str, symbol: str) -> None:
        self.settings = settings
        self._where = f"/internal/probing?exchange={quote(exchange)}&symbol={quote(symbol)}"
        self._key = ""
        self._key_id = 0
        self._local = threading.local()

    def open(self) -> None:
        """Make the key of this run. Raises ``CommandFailed``."""
        answer = self._asked("POST", "/internal/keys", {"label": LABEL})
        self._key, self._key_id = str(answer["key"]), int(answer["id"])

    def close(self) -> None:
        if self._key_id:
            self._asked("DELETE", f"/internal/keys/{self._key_id}")
            self._key_id = 0

    def post(self, path: str, fields: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        body = json.dumps({"apikey": self._key, **fields}).encode()
        held: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if held is None:
            parts = urlsplit(self.settings.url)
            held = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)
            self._local.connection = held
        try:
            held.request("POST", f"/api/v1/{path}", body, {"Content-Type": "application/json"})
            reply = held.getresponse()
            answer = json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as exc:
            # never sent again here: whether it arrived is what cleaning up finds out
            held.close()
            self._local.connection = None
            raise ConnectionError(f"no readable answer ({type(exc).__name__})") from exc
        return reply.status, answer if isinstance(answer, dict) else {}

    def standing(self) -> dict[str, Any]:
        try:
            return self._asked("GET", self._where)
        except AlgoError as exc:
            raise ConnectionError(str(exc)) from exc

    def look(self, used_today: int, blocked: str) -> tuple[Standing, Market]:
        """Raises ``CommandFailed`` when the instance does not say."""
        found = self._asked("GET", f"{self._where}&quote=1")
        return standing_of(self.settings.name, found, used_today, blocked), market_of(found)

    def _asked(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        status, answer = ask_running(self.settings, method, path, body)
        if status >= 300 or (status != 204 and not isinstance(answer, dict)):
            raise CommandFailed(f"{self.settings.name}: {message_of(answer, f'HTTP {status}')}")
        return answer or {}


def standing_of(instance: str, found: Mapping[str, Any], used_today: int, blocked: str) -> Standing:
    return Standing(
        instance=instance,
        venue=found["venue"],
        ready=found["ready"],
        waiting_for=tuple(found["waiting_for"]),
        mode=found["mode"],
        executes="execute" in found["roles"],
        market_open=found["market_open"],
        orders=tuple((row["action"], row["probe"]) for row in found["orders"]),
        positions=tuple(found["positions"]),
        used_today=used_today,
        blocked=blocked,
    )


def market_of(found: Mapping[str, Any]) -> Market:
    def price(name: str) -> Decimal | None:
        return None if found[name] is None else Decimal(str(found[name]))

    return Market(
        ltp=price("ltp") or Decimal(0),
        tick=Decimal(found["tick_size"]),
        lot=int(found["lot_size"]),
        lower=price("lower_circuit"),
        upper=price("upper_circuit"),
        windows=tuple(Window(**one) for one in found["windows"]),
    )


@dataclass(frozen=True, slots=True)
class Day:
    """Traffic of one instance in some days. ``samples[endpoint]``: seconds and wall seconds of each.

    ``samples`` hold what was acknowledged, and ``inf`` for what got no answer; ``figures`` are those of
    ``gateway.latency.passive``. ``missing``: why there is nothing, empty otherwise.
    """

    samples: Mapping[str, tuple[Floats, Floats]]
    figures: Mapping[str, Any]
    missing: str = ""


NOTHING = np.empty(0)
STAGE_OF = {
    "place": ("place", "acknowledge"),
    "modify": ("modify", "acknowledge"),
    "cancel": ("cancel", "acknowledge"),
    "fill": ("place", "fill"),
}
"""Measure -> endpoint and stage: the broker's part, without ours."""


def day_of_instance(settings: Settings, first_day: str, last_day: str, since_ns: int, until_ns: int) -> Day:
    """Normal traffic and probes of some IST days, both inclusive, running or not."""
    path = settings.databases.latency
    with contextlib.suppress(CommandFailed):
        # a running instance writes down what it still holds when it is asked
        ask_running(settings, "GET", f"/internal/comparison?from={last_day}&to={last_day}", timeout_s=10.0)
    try:
        figures = passive.comparison(path, first_day, last_day)
        samples = {name: stage_samples(settings, name, since_ns, until_ns) for name in STAGE_OF}
    except StoreError as exc:
        return Day({}, {}, str(exc))
    return Day(samples, figures)


def stage_samples(settings: Settings, measure: str, since_ns: int, until_ns: int) -> tuple[Floats, Floats]:
    """Raises ``StoreError``."""
    endpoint, stage = STAGE_OF[measure]
    begin, end = STAGES[stage]
    columns = ("at_ns", "flags", "outcome", "price_type", begin, end)
    values: list[Floats] = []
    times: list[Floats] = []
    more = True
    while more:
        found = reader.samples(
            settings.databases.latency, since_ns, until_ns, endpoint=endpoint, columns=columns
        )
        if not found.columns["at_ns"]:
            break
        seconds = durations(found.columns, begin, end, stage)
        kept = ~np.isnan(seconds)
        values.append(seconds[kept])
        times.append(np.array(found.columns["at_ns"], dtype=np.float64)[kept] / 1e9)
        # a request of the same nanosecond as the page's last one is not worth a cursor
        since_ns, more = found.columns["at_ns"][-1] + 1, found.more
    if not values:
        return NOTHING, NOTHING
    return np.concatenate(values), np.concatenate(times)


def durations(columns: Mapping[str, Sequence[Any]], begin: str, end: str, stage: str) -> Floats:
    """Seconds of each request: ``inf`` where no answer came, ``nan`` where the stage says nothing."""
    # None becomes nan
    since, until = (np.array(columns[name], dtype=np.float64) for name in (begin, end))
    seconds = (until - since) / 1e9
    outcome = np.array(columns["outcome"], dtype=np.str_)
    seconds[outcome != "acknowledged"] = math.nan
    if stage == "fill":
        seconds[np.array(columns["price_type"], dtype=np.str_) != "MARKET"] = math.nan
    else:
        seconds[outcome == "lost"] = math.inf
    seconds[(np.array(columns["flags"], dtype=np.int64) & CLOCK_SET) > 0] = math.nan
    return np.asarray(seconds, dtype=np.float64)


def probe_stages(settings: Settings, run: str, rounds: int, stage: str, since_ns: int) -> dict[str, Floats]:
    """Broker's times of one probe run by endpoint, index: round. Raises ``StoreError``.

    Of several requests of a kind in a round the first counts: a cancel of the cleaning is no probe.
    """
    begin, end = STAGES[stage]
    prefix = f"cmp-{run}-"
    columns = ("endpoint", "probe", "flags", "outcome", "price_type", begin, end)
    found = reader.samples(
        settings.databases.latency, since_ns, 2**62, probes=True, columns=tuple(dict.fromkeys(columns))
    )
    seconds = durations(found.columns, begin, end, stage)
    by_op = {op: np.full(rounds, math.nan) for op in ("place", "modify", "cancel")}
    for at, (op, probe) in enumerate(zip(found.columns["endpoint"], found.columns["probe"], strict=True)):
        if probe.startswith(prefix) and op in by_op:
            number = int(probe.removeprefix(prefix))
            if math.isnan(by_op[op][number]):
                by_op[op][number] = seconds[at]
    return by_op
