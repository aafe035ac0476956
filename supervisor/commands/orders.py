"""``algo orders``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from supervisor.client import CommandFailed, ask_api, load_running, message_of

OUTCOMES = ("never_reached", "complete", "cancelled", "rejected")


@click.group()
def orders() -> None:
    """The journal's orders; those whose outcome nobody knows, and ending one of an earlier day."""


@orders.command(name="list")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def list_orders(home: Path, name: str, as_json: bool) -> None:
    """Orders of today and those that have not ended, from the instance's journal."""
    _show(_asked(home, name, "GET", "/internal/orders")["orders"], as_json, "no orders today")


@orders.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def unknown(home: Path, name: str, as_json: bool) -> None:
    """Orders of unknown outcome: today's are being looked for, earlier ones need you."""
    _show(_asked(home, name, "GET", "/internal/orders/unknown")["orders"], as_json, "no order is unknown")


@orders.command()
@click.argument("name")
@click.argument("journal_id")
@click.option("--outcome", type=click.Choice(OUTCOMES), required=True, help="What the broker shows.")
@click.option("--evidence", required=True, help="Where you saw it: contract note, statement, a call.")
@click.option("--order-id", default="", help="The broker's order number.")
@click.option("--filled", type=int, help="Executed quantity (default: all if complete, else none).")
@click.option("--average", help="Average price of what was executed, rupees.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
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
    row = _asked(home, name, "POST", f"/internal/orders/{number}/resolve", said)["order"]
    click.echo(json.dumps(row, indent=1) if as_json else _line(row))


def _asked(home: Path, name: str, method: str, path: str, body: object = None) -> Any:
    status, answer = ask_api(load_running(home, name), method, path, body)
    if status != 200:
        raise CommandFailed(f"{name}: {message_of(answer, f'HTTP {status}')}")
    return answer


def _show(rows: list[dict[str, Any]], as_json: bool, none: str) -> None:
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(_line(row))
    if not rows:
        click.echo(none)


def _line(row: dict[str, Any]) -> str:
    what = f"{row['action']} {row['quantity']} {row['exchange']}:{row['symbol']} {row['product']}"
    end = "  needs you: algo orders resolve" if row["needs_a_person"] else ""
    reason = f"  {row['reason']}" if row["reason"] else ""
    return f"J{row['journal_id']}  {row['placed_at']}  {what}  {row['status']}{reason}{end}"
