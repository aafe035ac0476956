"""``algo strategy``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from brokers.clock import IST
from supervisor.client import answered
from supervisor.commands.printing import json_option, listed, shown

MODES = ("LONG", "SHORT", "BOTH")
SYMBOL = "EXCHANGE:SYMBOL:QUANTITY[:PRODUCT]"


def of_an_instance(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments NAME STRATEGY."""
    inner = click.argument("strategy_name", metavar="STRATEGY")(command)
    return click.argument("name")(inner)


@click.group()
def strategy() -> None:
    """Strategies whose alerts (TradingView, Chartink, the SDK) become orders of an instance."""


@strategy.command()
@of_an_instance
@click.option("--mode", type=click.Choice(MODES), default="LONG", show_default=True, help="What it may open.")
@click.option("--platform", default="tradingview", show_default=True, help="Who sends; chartink, other, …")
@click.option("--symbol", "symbols", multiple=True, metavar=SYMBOL, help="May be given many times.")
@click.option("--start", help="Intraday: first entry, HH:MM IST.")
@click.option("--end", help="Intraday: last entry.")
@click.option("--square-off", help="Intraday: every position of it is closed then.")
@click.option("--quiet", is_flag=True, help="Print the webhook id alone.")
@json_option
@click.pass_obj
def create(
    home: Path,
    name: str,
    strategy_name: str,
    mode: str,
    platform: str,
    symbols: tuple[str, ...],
    start: str | None,
    end: str | None,
    square_off: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make a strategy and print where its alerts are posted. The address is its only secret."""
    times = {"start": start, "end": end, "square_off": square_off}
    if any(times.values()) and not all(times.values()):
        raise click.UsageError("an intraday strategy needs --start, --end and --square-off")
    body = {
        "name": strategy_name,
        "mode": mode,
        "platform": platform,
        "hours": times if all(times.values()) else None,
        "symbols": [_symbol(text) for text in symbols],
    }
    made = answered(home, name, "POST", "/internal/strategies", body)
    if as_json:
        click.echo(json.dumps(made))
    elif quiet:
        click.echo(made["webhook_id"])
    else:
        _show(made)


@strategy.command(name="list")
@click.argument("name")
@json_option
@click.pass_obj
def list_strategies(home: Path, name: str, as_json: bool) -> None:
    """Strategies of an instance with their addresses and symbols."""
    rows = answered(home, name, "GET", "/internal/strategies")["strategies"]
    none = f"no strategies; make one: algo strategy create {name} NAME --symbol {SYMBOL}"
    listed(rows, _lines, none, as_json=as_json)


@strategy.command()
@of_an_instance
@click.argument("symbol", metavar=SYMBOL)
@click.pass_obj
def add(home: Path, name: str, strategy_name: str, symbol: str) -> None:
    """Let a strategy trade a symbol, or change its quantity and product."""
    _show(answered(home, name, "POST", f"{_path(strategy_name)}/symbols", _symbol(symbol)))


@strategy.command()
@of_an_instance
@click.argument("symbol")
@click.pass_obj
def remove(home: Path, name: str, strategy_name: str, symbol: str) -> None:
    """Take a symbol from a strategy. Its positions are left alone."""
    _show(answered(home, name, "DELETE", f"{_path(strategy_name)}/symbols/{quote(symbol, safe='')}"))


def _switch(name: str, active: bool, text: str) -> None:
    @strategy.command(name=name, help=text)
    @of_an_instance
    @click.pass_obj
    def switch(home: Path, name: str, strategy_name: str) -> None:
        _show(answered(home, name, "POST", f"{_path(strategy_name)}/switch", {"active": active}))


_switch("enable", True, "Take a strategy's alerts again.")
_switch(
    "disable", False, "Refuse a strategy's alerts, and do not square it off. Its positions are left alone."
)


@strategy.command()
@of_an_instance
@click.pass_obj
def delete(home: Path, name: str, strategy_name: str) -> None:
    """End a strategy; its address answers 404 from now on. Its positions are left alone."""
    answered(home, name, "DELETE", _path(strategy_name))
    click.echo(f"{name}: strategy {strategy_name} deleted")


@strategy.command()
@click.argument("name")
@json_option
@click.pass_obj
def alerts(home: Path, name: str, as_json: bool) -> None:
    """What became of the newest alerts and square-offs."""
    rows = answered(home, name, "GET", "/internal/alerts")["orders"]
    if as_json:
        shown(rows)
    else:
        listed(rows[::-1], line_of, "no alerts yet", as_json=False)


@strategy.command()
@click.argument("name")
@json_option
@click.pass_obj
def leases(home: Path, name: str, as_json: bool) -> None:
    """Which copy holds which strategy id, on every instance of this home."""
    rows = answered(home, name, "GET", "/internal/leases")["leases"]
    none = "nobody has asked for a lease; any copy of any strategy may trade"
    listed(rows, lease_line, none, as_json=as_json)


@strategy.command()
@of_an_instance
@click.argument("needs", type=click.Choice(("lease", "instance", "no")))
@click.pass_obj
def exclusive(home: Path, name: str, strategy_name: str, needs: str) -> None:
    """What entries without a lease need, on every instance of this home. Exits never need anything.

    \b
    lease      they are refused: the program must hold the strategy's lease
    instance   for programs that know no leases: they must come through the instance that the
               strategy first traded through today, so two instances do not both trade
    no         nothing, unless somebody holds a lease (the default)
    """
    body = {"exclusive": needs}
    click.echo(lease_line(answered(home, name, "POST", f"{_lease_path(strategy_name)}/exclusive", body)))


@strategy.command()
@of_an_instance
@click.pass_obj
def free(home: Path, name: str, strategy_name: str) -> None:
    """End the lease of a strategy id: its holder's entries are refused from now on."""
    click.echo(lease_line(answered(home, name, "DELETE", _lease_path(strategy_name))))


def lease_line(row: dict[str, Any]) -> str:
    """One lease in one line."""
    marked = {"lease": ", entries need a lease", "instance": ", one instance a day"}.get(row["exclusive"], "")
    if row["state"] != "held":
        return f"{row['strategy']}: free (epoch {row['epoch']}){marked}"
    until = datetime.fromisoformat(row["expires_at"]).astimezone(IST)
    who = f"{row['holder']} through {row['instance']}"
    return f"{row['strategy']}: held by {who} until {until:%H:%M:%S} IST (epoch {row['epoch']}){marked}"


def line_of(row: dict[str, Any]) -> str:
    """One queued order in one line."""
    asked, answer = row["request"], row["answer"]
    what = f"{asked.get('action', '')} {asked.get('quantity', '')} {asked.get('symbol', '')}".strip()
    if "position_size" in asked:
        what = f"{asked.get('symbol', '')} to {asked['position_size']}"
    end = answer.get("orderid") or answer.get("message") or ""
    order = f"{row['strategy']}: {what or row['kind']}"
    return f"{row['id']:>5}  {row['at'][:19]}  {row['state']:<8}  {order}  {end}".rstrip()


def _show(row: dict[str, Any]) -> None:
    click.echo(_lines(row))


def _lines(row: dict[str, Any]) -> str:
    hours = row["hours"]
    times = f", {hours['start']}-{hours['end']}, square-off {hours['square_off']}" if hours else ""
    state = "" if row["active"] else ", disabled"
    head = f"{row['name']} ({row['platform']}, {row['mode']}{times}{state})"
    symbols = [
        f"{one['exchange']}:{one['symbol']} x {one['quantity']} {one['product']}" for one in row["symbols"]
    ]
    return "\n  ".join([head, row["webhook_url"], *symbols])


def _symbol(text: str) -> dict[str, str]:
    parts = text.split(":")
    if len(parts) not in (3, 4) or not all(parts):
        raise click.UsageError(f"'{text}' is not {SYMBOL}, for example NSE:SBIN:5:MIS")
    return dict(zip(("exchange", "symbol", "quantity", "product"), parts, strict=False))


def _path(strategy_name: str) -> str:
    return f"/internal/strategies/{quote(strategy_name, safe='')}"


def _lease_path(strategy_name: str) -> str:
    return f"/internal/leases/{quote(strategy_name, safe='')}"
