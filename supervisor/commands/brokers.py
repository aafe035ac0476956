"""``algo brokers``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from brokers import registry
from brokers.contract import BrokerSpec, RateWindow

UNITS = ((86400.0, "day"), (3600.0, "h"), (60.0, "min"))


@click.command()
@click.argument("names", nargs=-1, metavar="[BROKER]...")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def brokers(names: tuple[str, ...], as_json: bool) -> None:
    """What each broker can do, side by side: login, limits, history, feed, depth.

    Limits are the ones kept here, a little below what the broker publishes.

    \b
    Examples:
      algo brokers
      algo brokers dhan --json
    """
    specs = [registry.spec(name) for name in names or registry.names()]
    if as_json:
        click.echo(json.dumps([plain(spec) for spec in specs], indent=1))
        return
    table = Table(box=None, pad_edge=False, show_edge=False)
    table.add_column("", no_wrap=True)
    for spec in specs:
        table.add_column(spec.title, overflow="fold")
    columns = [facts(spec) for spec in specs]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console(highlight=False).print(table)


def facts(spec: BrokerSpec) -> dict[str, str]:
    """Name -> what a person reads."""
    able = spec.capabilities
    modifications = able.modifications_per_order
    return {
        "login": spec.login,
        "session lives": spec.session,
        "credentials": ", ".join(c.env for c in spec.credentials if c.required),
        "exchanges": _words(able.exchanges),
        "orders": _windows(spec.order_windows),
        "changes of one order": str(modifications) if modifications else "no limit known",
        "book and data reads": _windows(spec.data_windows),
        "quote calls": f"{_windows(spec.quote_windows)}, {able.quote_batch} instruments each",
        "margin calls": f"{able.margin_batch} orders each" if able.margin_batch > 1 else "order by order",
        "history": _words(able.history_exchanges) or "none",
        "candles": ", ".join(able.intervals) or "none",
        "feed": f"{able.feed_instruments:,} instruments",
        "depth": _depth(spec),
        "GTT orders": "kept by the broker" if able.native_gtt else "kept by the gateway",
        "order tag": f"{able.tag_length} characters",
    }


def plain(spec: BrokerSpec) -> dict[str, Any]:
    """JSON-ready: every capability under its own name."""
    able = {one.name: _plain(getattr(spec.capabilities, one.name)) for one in fields(spec.capabilities)}
    windows = ("order_windows", "data_windows", "quote_windows")
    return {
        "name": spec.name,
        "title": spec.title,
        "login": spec.login,
        "session": spec.session,
        "credentials": [
            {"env": c.env, "where": c.where, "required": c.required, "secret": c.secret}
            for c in spec.credentials
        ],
        **{name: [{"count": w.count, "seconds": w.seconds} for w in getattr(spec, name)] for name in windows},
        **able,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return value


def _windows(windows: Iterable[RateWindow]) -> str:
    return ", ".join(f"{one.count:,} / {_span(one.seconds)}" for one in windows)


def _span(seconds: float) -> str:
    return next((unit for size, unit in UNITS if seconds == size), f"{seconds:g} s")


def _words(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _depth(spec: BrokerSpec) -> str:
    deeper = [f"{n} ({_words(on)})" for n, on in sorted(spec.capabilities.book_levels.items())]
    return ", ".join(["5 levels", *deeper])
