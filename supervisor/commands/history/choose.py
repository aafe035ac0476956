"""Instruments by what they are derived of, asked of an instance's table: option chains and futures."""

from __future__ import annotations

from datetime import date
from typing import Any

import click

from brokers.errors import AlgoError
from gateway import settings as gateway_settings
from historify.jobs.model import Key
from supervisor.client import CommandFailed, ask_api, load_running, message_of
from supervisor.commands.history.place import Place


def option_chain(one: Place, underlying: str, expiry: str, exchange: str) -> list[Key]:
    """Every option of one expiry. Raises ``CommandFailed`` with the expiries there are."""
    try:
        on = date.fromisoformat(expiry).isoformat()
    except ValueError as exc:
        raise click.UsageError(f"the expiry is '{expiry}', expected YYYY-MM-DD") from exc
    body = {"option_chain": {"underlying": underlying, "expiry": on, "exchange": exchange.upper()}}
    return _chosen(one, body, f"options of {underlying} that expire on {on}")


def futures(one: Place, underlying: str, exchange: str) -> list[Key]:
    """Every future that has not expired. Raises ``CommandFailed``."""
    body = {"futures": {"underlying": underlying, "exchange": exchange.upper()}}
    return _chosen(one, body, f"futures of {underlying}")


def _chosen(one: Place, body: dict[str, Any], what: str) -> list[Key]:
    why = f"there is no instance to ask for {what}; make one: algo init"
    for name in gateway_settings.instance_names(one.home):
        try:
            status, answer = ask_api(load_running(one.home, name), "POST", "/internal/choose", body)
        except AlgoError as exc:
            why = str(exc)
            continue
        if status == 200 and answer["keys"]:
            return [(each["exchange"], each["symbol"]) for each in answer["keys"]]
        why = message_of(answer, f"{name} knows no {what}")
    raise CommandFailed(why)
