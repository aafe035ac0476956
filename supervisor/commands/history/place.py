"""The market-data store of a home, as these commands open it: running or not, from no instance's side."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import SystemClock
from brokers.errors import InvalidRequest, SettingsError
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import EnvFile, store
from gateway.settings.store import StoreRules
from historify.jobs.model import Key
from historify.ondemand import OnDemand
from historify.paths import StorePaths
from supervisor.running import current_folder

DAY = click.DateTime(["%Y-%m-%d"])
EXCHANGE = click.option("--exchange", default="NSE", show_default=True, help="Of symbols that name none.")


class Place(OnDemand):
    """One store, as the home's env files name it."""

    def __init__(self, home: Path, venue: Venue, rules: StoreRules, face: Path) -> None:
        calendar = _calendar(home, venue)
        super().__init__(rules.url, StorePaths(face), home=home, calendar=calendar, clock=SystemClock())
        self.home = home
        self.venue = venue
        self.rules = rules


@contextmanager
def place(home: Path, *, sim: bool) -> Iterator[Place]:
    """The store of what runs here; of live (or ``sim``) when nothing does. Closed at the end.

    Raises:
        SettingsError: Env files name different stores, or a wrong one.
    """
    venue = current_folder(home, sim=sim).venue
    one = Place(home, venue, *_rules(home, venue))
    try:
        yield one
    finally:
        one.close()


def _rules(home: Path, venue: Venue) -> tuple[StoreRules, Path]:
    sim = venue is Venue.SIM
    found: dict[str, tuple[StoreRules, Path, str]] = {}
    for name in gateway_settings.instance_names(home):
        env = EnvFile.read(home / "instances" / f"{name}.env", home)
        rules = store.read(env, home, sim=sim)
        found.setdefault(rules.url, (rules, store.face(env, home, sim=sim), env.shown))
    if len(found) > 1:
        files = " and ".join(shown for _, _, shown in found.values())
        raise SettingsError(f"{files} name different stores; put the same HISTORIFY_DATABASE_URL in all")
    if found:
        rules, face, _ = next(iter(found.values()))
        return rules, face
    face = home / "db" / ("sim/historify.duckdb" if sim else "historify.duckdb")
    return StoreRules(url=str(face)), face


def _calendar(home: Path, venue: Venue) -> Calendar:
    """As the puller was told; the simulated exchange is always open unless it was told otherwise."""
    if venue is not Venue.SIM:
        return FileCalendar()
    try:
        told = json.loads((home / "db" / "sim" / "run" / "historify.json").read_text())
        always = told.get("hours", "always") == "always"
    except (OSError, ValueError):
        always = True
    return AlwaysOpen() if always else FileCalendar()


def sim_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "The store of the simulated brokers (what runs decides, when something runs)."
    return click.option("--sim", is_flag=True, help=text)(command)


def ordered(start: datetime | None, end: datetime | None) -> None:
    """Refuse days in the wrong order, as wrong use."""
    if start and end and start > end:
        raise click.UsageError(f"--from {start:%Y-%m-%d} is after --to {end:%Y-%m-%d}")


def history_module(name: str) -> Any:
    """DuckDB costs a tenth of a second; a command that needs none does not pay it."""
    return importlib.import_module(name)


def keys_of(symbols: str, exchange: str) -> list[Key]:
    """``SBIN,NFO:NIFTY26DECFUT`` -> keys; those without an exchange are of ``exchange``."""
    found: list[Key] = []
    for word in symbols.split(","):
        text = word.strip()
        if not text:
            continue
        prefix, colon, rest = text.partition(":")
        found.append((prefix.upper(), rest) if colon else (exchange.upper(), text))
    return list(dict.fromkeys(found))


def keys_in(path: Path, exchange: str) -> list[Key]:
    """Symbols of a file: one a line, or CSV with columns symbol and (optional) exchange.

    Raises:
        InvalidRequest: It cannot be read, or names nothing.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeError) as exc:
        raise InvalidRequest(f"{path} cannot be read as text: {exc}") from exc
    lines = [line for line in lines if line and not line.startswith("#")]
    header = [cell.strip().strip('"').lower() for cell in lines[0].split(",")] if lines else []
    found: list[Key] = []
    if "symbol" in header:
        place = {name: header.index(name) for name in ("symbol", "exchange") if name in header}
        for line in lines[1:]:
            cells = [cell.strip().strip('"') for cell in line.split(",")]
            if len(cells) > max(place.values()) and cells[place["symbol"]]:
                own = cells[place["exchange"]] if "exchange" in place else ""
                found.append(((own or exchange).upper(), cells[place["symbol"]]))
    else:
        found = [key for line in lines for key in keys_of(line, exchange)]
    if not found:
        raise InvalidRequest(f"{path} names no symbol; expected one a line, or a column 'symbol'")
    return list(dict.fromkeys(found))
