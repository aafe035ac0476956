"""``algo orders``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from supervisor.client import answered, chosen
from supervisor.commands.printing import json_option, listed
from supervisor.running import current_folder

OUTCOMES = ("never_reached", "complete", "cancelled", "rejected")


@click.group()
def orders() -> None:
    """The journal's orders; those whose outcome nobody knows, and ending one of an earlier day."""


@orders.command(name="list")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@click.pass_obj
def list_orders(home: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Orders of today and those that have not ended, from the journals of the named or all instances."""
    rows = _rows(home, names, "/internal/orders")
    listed(rows, _line, "no orders today", as_json=as_json)


@orders.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@click.pass_obj
def unknown(home: Path, names: tuple[str, ...], as_json: bool) -> None:
    """Orders of unknown outcome: today's are being looked for, earlier ones need you."""
    rows = _rows(home, names, "/internal/orders/unknown")
    listed(rows, _line, "no order is unknown", as_json=as_json)


def _rows(home: Path, names: tuple[str, ...], path: str) -> list[dict[str, Any]]:
    """What the instances answer, each row with its instance's name."""
    return [
        {"instance": name, **row}
        for name in chosen(home, names or _running(home))
        for row in answered(home, name, "GET", path)["orders"]
    ]


def _running(home: Path) -> tuple[str, ...]:
    """Instances of which something runs."""
    return tuple(sorted({row.instance for row, _ in current_folder(home).live_children() if row.instance}))


@orders.command()
@click.argument("name")
@click.argument("journal_id")
@click.option("--outcome", type=click.Choice(OUTCOMES), required=True, help="What the broker shows.")
@click.option("--evidence", required=True, help="Where you saw it: contract note, statement, a call.")
@click.option("--order-id", default="", help="The broker's order number.")
@click.option("--filled", type=int, help="Executed quantity (default: all if complete, else none).")
@click.option("--average", help="Average price of what was executed, rupees.")
@json_option
@click.pass_obj
def resolve(
    home: Path,
    name: str,
    journal_id: str,
    outcome: str,
    evidence: str,
    order_id: str,
    filled: int | None,
    average: str | None,
    as_json: bool,
) -> None:
    """End an unknown order of an earlier day. What you say is kept in the journal for good.

    \b
    Example:
      algo orders resolve dhan J41 --outcome never_reached --evidence "order book of 19 Nov, web.dhan.co"
    """
    number = journal_id.upper().removeprefix("J")
    if not (number.isascii() and number.isdigit()):
        raise click.UsageError(f"{journal_id} is not a journal id such as J41; see: algo orders unknown")
    said: dict[str, Any] = {"outcome": outcome, "evidence": evidence, "order_id": order_id}
    said |= {"filled": filled, "average": average}
    ended = answered(home, name, "POST", f"/internal/orders/{number}/resolve", said)["order"]
    row = {"instance": name, **ended}
    click.echo(json.dumps(row, indent=1) if as_json else _line(row))


def _line(row: dict[str, Any]) -> str:
    what = f"{row['action']} {row['quantity']} {row['exchange']}:{row['symbol']} {row['product']}"
    number, instance = f"J{row['journal_id']}", row["instance"]
    end = f"  needs you: algo orders resolve {instance} {number}" if row["needs_a_person"] else ""
    reason = f"  {row['reason']}" if row["reason"] else ""
    return f"{instance}  {number}  {row['placed_at']}  {what}  {row['status']}{reason}{end}"
