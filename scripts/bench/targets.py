"""What each benchmark is asked, and which of its figures has which aim.

A figure is found in what the benchmark prints: by a pattern with one group, or by a path in one of its JSON
lines. The aims are those of the project's issues; ``DESIGN`` holds what the design documents of comparable
products name, beside ours. ``why`` says what limits a figure that misses its aim; it is printed only then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

Take = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the table.

    Attributes:
        take: The figure from the benchmark's output; raises ``LookupError`` when it is not there.
        beside: The reference's figure from the same run, if the benchmark has one.
        aim: ``None``: a figure without an aim.
        most: The aim is the most it may be; otherwise the least.
    """

    measure: str
    take: Take
    unit: str = ""
    aim: float | None = None
    most: bool = True
    beside: Take | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """One command and its rows. ``argv`` follows ``scripts/bench/``."""

    name: str
    argv: tuple[str, ...]
    targets: tuple[Target, ...]


def seen(pattern: str, scale: float = 1.0) -> Take:
    """The group of a pattern; thousands may have commas. ``scale`` changes the unit."""

    def take(text: str) -> float:
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise LookupError(pattern)
        return float(found[1].replace(",", "")) * scale

    return take


def field(path: str, scale: float = 1.0, **row: object) -> Take:
    """``a.b`` in the JSON line whose members are as in ``row``."""

    def take(text: str) -> float:
        for line in text.splitlines():
            if not line.startswith("{"):
                continue
            value = json.loads(line)
            if all(value.get(name) == wanted for name, wanted in row.items()):
                for name in path.split("."):
                    value = value[name]
                return float(value) * scale
        raise LookupError(path)

    return take


def ratio(one: Take, other: Take) -> Take:
    """How many times the other."""
    return lambda text: one(text) / other(text)


_WAKING = "waking three processes, reading HTTP in the simulator (in it), stage times since the aim was set"
_UPDATES = (
    "py-spy: 41 % takes pushed updates (31 % one row looked up, a connection and BEGIN each time), 26 % the "
    "order itself; next: a kept read connection a thread, one request for an order's updates"
)
_BUSY = "one interpreter: 1.25 ms of CPU an order"
_DUCK = r"bare DuckDB connection[\s\S]*?"

BENCHES = (
    Bench(
        "orders",
        ("rest.py", "--orders", "200"),
        (
            Target(
                "live order, gateway's share, p50",
                field("overhead.p50_ms", row="order"),
                "ms",
                3,
                why=_WAKING,
            ),
            Target(
                "live order, gateway's share, p99",
                field("overhead.p99_ms", row="order"),
                "ms",
                10,
                why=_WAKING,
            ),
            Target(
                "CPU of the api process an order",
                field("cpu_ms_per_order", row="order"),
                "ms",
                2,
                why=_UPDATES,
            ),
            Target("paper order, 1 connection, p50", field("p50_ms", row="sandbox", connections=1), "ms", 3),
            Target(
                "the same, 10 connections",
                field("p50_ms", row="sandbox", connections=10),
                "ms",
                10,
                why=_BUSY,
            ),
            Target(
                "paper orders, 10 connections",
                field("per_s", row="sandbox", connections=10),
                "/s",
                500,
                False,
            ),
            Target(
                "`ping`, 10 connections",
                field("per_s", row="ping"),
                "/s",
                beside=field("bare_per_s", row="ping"),
            ),
            Target("`ping`, share of a bare Flask route", field("ratio", 100, row="ping"), "%", 60, False),
            Target("`ping`, p99 beside the bare route's", field("p99_ratio", row="ping"), "×", 1.5),
            Target("`quotes` from ticks, share", field("ratio", 100, row="quotes"), "%", 60, False),
            Target("`quotes` from ticks, p99", field("p99_ratio", row="quotes"), "×", 1.5),
            Target("`orderbook` of 200", field("per_s", row="orderbook", connections=1), "/s", 300, False),
            Target("order p99, more beside 100 quotes/s", field("p99_more_ms", row="beside"), "ms", 10),
        ),
    ),
    Bench(
        "codecs",
        ("codecs.py", "--dhanhq", ".venv-dhanhq/bin/python"),
        (
            Target(
                "Dhan full packet to tick (beside: dhanhq)",
                seen(r"^dhan full +([\d,]+)"),
                "/s",
                150_000,
                False,
                beside=seen(r"dhanhq process_full +([\d,]+)"),
            ),
            Target(
                "with its five levels (beside: a frozen dataclass)",
                seen(r"^dhan full, levels +([\d,]+)"),
                "/s",
                80_000,
                False,
                beside=seen(r"frozen tick with levels +([\d,]+)"),
            ),
            Target("Kotak SFeed depth", seen(r"^kotak sfeed depth +([\d,]+)"), "/s"),
            Target(
                "Kotak's slowest packet, share of Dhan's",
                ratio(seen(r"^kotak hsm dp update +([\d,]+)"), seen(r"^dhan full +([\d,]+)")),
                "×",
                0.5,
                False,
            ),
        ),
    ),
    Bench(
        "ticks",
        ("ticks_sim.py",),
        (
            Target("LTP fan-out, 1 client", seen(r"^fanout 1 +([\d,]+) msg/s"), "/s", 50_000, False),
            Target("LTP fan-out, 10 clients", seen(r"^fanout 10 +([\d,]+) msg/s"), "/s", 200_000, False),
            Target("LTP fan-out, 50 clients", seen(r"^fanout 50 +([\d,]+) msg/s"), "/s", 300_000, False),
            Target("frame to client, 2,000/s, 10 clients, p50", seen(r"^p50 ([\d.]+) ms, p99"), "ms", 0.5),
            Target("the same, p99", seen(r"^p50 [\d.]+ ms, p99 ([\d.]+) ms"), "ms", 3),
            Target("its p99 beside 200 REST requests/s", seen(r"with REST p99 [\d.]+ ms, ([\d.]+)x"), "×", 2),
            Target("others' p99 beside a stalled client", seen(r"^p99 .* ms \(([+-]\d+)%\)"), "%", 10),
            Target("CPU of the recorder", seen(r"([+-][\d.]+)% with the recorder on"), "%", 10),
        ),
    ),
    Bench(
        "fanout",
        ("fanout.py",),
        (
            Target(
                "fan-out alone, 10 clients (beside: json and broadcast)",
                field("delivered_per_s", what="product"),
                "/s",
                beside=field("delivered_per_s", what="reference"),
            ),
        ),
    ),
    Bench(
        "zmq",
        ("zmq_bus.py",),
        (
            Target(
                "ZeroMQ without a gap (beside: a bare PUB)",
                seen(r"^product +([\d,]+) messages/s"),
                "/s",
                60_000,
                False,
                beside=seen(r"^bare +([\d,]+) messages/s"),
            ),
        ),
    ),
    Bench(
        "start",
        ("cold_start.py", "--rounds", "3"),
        (
            Target("two instances ready", seen(r"^two instances +median ([\d.]+) s"), "s", 6),
            Target("a further instance", seen(r"^a further instance +median ([\d.]+) s"), "s", 2.5),
            Target("api back after SIGKILL", seen(r"^api back +median ([\d.]+) s"), "s", 2.5),
            Target("feed back after SIGKILL", seen(r"^feed back +median ([\d.]+) s"), "s", 1.5),
            Target("memory of an instance, api and feed (PSS)", seen(r"feed \d+: (\d+) MB PSS"), "MB", 160),
        ),
    ),
    Bench(
        "supervision",
        ("supervise.py", "--seconds", "30", "--with", "supervisord"),
        (
            Target(
                "supervisor with 10 children (beside: supervisord)",
                seen(r"^algo +([\d.]+)"),
                "MB",
                30,
                beside=seen(r"^supervisord +([\d.]+)"),
            ),
            Target(
                "idle, 10 children",
                seen(r"^algo +[\d.]+ +([\d.]+)"),
                "% of a core",
                0.1,
                beside=seen(r"^supervisord +[\d.]+ +([\d.]+)"),
            ),
            Target("idle, 50 children", seen(r"^algo, 50 children +[\d.]+ +([\d.]+)"), "% of a core"),
            Target(
                "its share of a restart",
                seen(r"^algo +[\d.]+ +[\d.]+ +([\d.-]+)"),
                "ms",
                30,
                beside=seen(r"^supervisord +[\d.]+ +[\d.]+ +([\d.-]+)"),
            ),
        ),
    ),
    Bench(
        "candles",
        ("history.py",),
        (
            Target(
                "1 M candles inserted (beside: bare DuckDB)",
                seen(r"one series, inserted +([\d.]+) s"),
                "s",
                4,
                beside=seen(_DUCK + r"one series, inserted +([\d.]+) s"),
            ),
            Target(
                "the same again",
                seen(r"one series, inserted again +([\d.]+) s"),
                "s",
                8,
                beside=seen(_DUCK + r"one series, inserted again +([\d.]+) s"),
            ),
            Target(
                "a day appended, p50",
                seen(r"a day appended +p50 +([\d.]+) ms"),
                "ms",
                60,
                beside=seen(_DUCK + r"a day appended +p50 +([\d.]+) ms"),
            ),
        ),
    ),
    Bench(
        "reads",
        ("history_reads.py", "--reads", "3000"),
        (
            Target(
                "a month of 1m of 47 M bars, p50 (beside: bare DuckDB)",
                seen(r"^month of 1m.*p50 +([\d.]+)"),
                "ms",
                10,
                beside=seen(r"^bare month of 1m.*p50 +([\d.]+)"),
            ),
            Target("the same, p99", seen(r"^month of 1m.*p99 +([\d.]+)"), "ms", 40),
            Target(
                "a year as 15m, p50",
                seen(r"^year as 15m.*p50 +([\d.]+)"),
                "ms",
                25,
                beside=seen(r"^bare year as 15m.*p50 +([\d.]+)"),
            ),
            Target("the same, p99", seen(r"^year as 15m.*p99 +([\d.]+)"), "ms", 60),
            Target(
                "last day of 500 symbols, p50",
                seen(r"^last day of all.*p50 +([\d.]+)"),
                "ms",
                450,
                beside=seen(r"^bare last day of all.*p50 +([\d.]+)"),
            ),
            Target("the same from the hot tail", seen(r"^hot last day.*p50 +([\d.]+)"), "ms", 100),
            Target("failed reads beside a writer", seen(r"^(\d+) of [\d,]+ failed"), "", 0),
        ),
    ),
    Bench(
        "postgres",
        ("postgres_store.py",),
        (
            Target(
                "PostgreSQL, a month of 1m, p50 (beside: bare rows)",
                seen(r"bars: p50 ([\d.]+)"),
                "ms",
                beside=seen(r"bare rows ([\d.]+)"),
            ),
        ),
    ),
    Bench(
        "comparison",
        ("compare.py", "--ticks", "20000000"),
        (
            Target("a day of 100,000 orders and 20 M ticks", field("whole_s", row="report"), "s", 10),
            Target("its memory", field("peak_rss_mb", row="report"), "MB"),
            Target("stage times, CPU an order", field("cpu_us_per_order", row="written"), "µs"),
        ),
    ),
    Bench(
        "instruments",
        ("instruments.py",),
        (
            Target("228,000 instruments swapped in", seen(r'"swap_first_s": ([\d.]+)'), "s", 10),
            Target("peak memory", seen(r'"peak_mb": ([\d.]+)'), "MB", 400),
            Target("`search` of them", seen(r'"search_two_s": ([\d.]+)', 1000), "ms"),
            Target("search as you type, slowest", seen(r'"typing_slowest_s": ([\d.]+)', 1000), "ms", 50),
        ),
    ),
    Bench(
        "pages",
        ("pages.py",),
        (Target("300 rows × 10/s × 60 s, main thread", seen(r"main thread busy ([\d.]+)%"), "%", 30),),
    ),
)

DESIGN: tuple[tuple[str, str, str, Take, str], ...] = (
    ("packets parsed", "100,000/s", "codecs", seen(r"^dhan full +([\d,]+)"), "/s"),
    ("parse of one packet", "< 1 ms", "codecs", seen(r"^dhan full .* ([\d.]+) us", 0.001), "ms"),
    (
        "enrich (ours: from the frame to the client, all of it)",
        "1–5 ms",
        "ticks",
        seen(r"^p50 ([\d.]+) ms, p99"),
        "ms",
    ),
    (
        "ticks through one process, 10 clients",
        "1,000–2,000/s",
        "ticks",
        seen(r"^fanout 10 .* msg/s +([\d,]+)"),
        "/s",
    ),
    ("memory of the feed process", "50–100 MB", "start", seen(r"feed (\d+): \d+ MB PSS"), "MB"),
    ("CPU at 2,000 ticks/s to 10 clients", "5–15 %", "ticks", seen(r"^latency 10 .* feed (\d+)%"), "%"),
    ("end to end, p99", "< 100 ms", "ticks", seen(r"^p50 [\d.]+ ms, p99 ([\d.]+) ms"), "ms"),
)
"""What, the design documents' figure, the benchmark that shows ours, ours, its unit."""
