"""What can be wrong with a home and its machine, each with the command that mends it.

``algo up`` refuses on what is ``severe``; ``algo doctor`` shows everything. Nothing here changes a database,
and no write-ahead log is ever removed: it holds committed orders.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from brokers.calendar import FileCalendar
from brokers.errors import SettingsError
from brokers.folders import synced_by
from brokers.venue import Venue
from gateway import panicfile
from gateway import settings as gateway_settings
from gateway.settings import Settings
from historify.paths import StorePaths, is_server
from supervisor import plan, preflight, puller, services
from supervisor.state import RunFolder

NO_DISK_MB = 50
FEW_DESCRIPTORS = 1024
CLOCK_SLACK_S = 60.0
EARLIEST = date(2026, 1, 1)
"""No clock of a machine that runs this can be before it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        severe: Nothing may start with it.
        mend: The command, or what a person has to do.
        fix: Does it, where that is safe to do unasked.
    """

    what: str
    mend: str
    severe: bool = False
    fix: Callable[[], None] | None = field(default=None, compare=False)


def machine(home: Path) -> Iterator[Finding]:
    """Disk, clock, descriptors and the place of the home; quick enough for every ``algo up``."""
    yield from _disk(home)
    yield from _clock(home)
    limit = preflight.descriptor_limit()
    if limit is not None and limit < FEW_DESCRIPTORS:
        text = f"a process may open {limit} files; a busy feed needs {FEW_DESCRIPTORS}"
        yield Finding(text, f"ulimit -n {4 * FEW_DESCRIPTORS}, or LimitNOFILE= in the service")
    if synced := synced_by(home):
        yield Finding(
            f"{home} lies in a synced folder ({synced}): a sync tool copies databases while they are written",
            "move it and set ALGO_HOME, e.g. ALGO_HOME=~/algo",
        )


def _disk(home: Path) -> Iterator[Finding]:
    place = next(p for p in (home / "db", home, *home.parents) if p.exists())
    try:
        free = shutil.disk_usage(place).free // 1_000_000
    except OSError as exc:
        yield Finding(f"{place} cannot be looked at: {exc.strerror}", f"ls -ld {place}", severe=True)
        return
    if free < preflight.LITTLE_DISK_MB:
        text = f"{free} MB free on the disk of {place}"
        why = "; an order that cannot be journaled is refused" if free < NO_DISK_MB else ""
        yield Finding(text + why, f"du -sh {home}/db/* | sort -h", severe=free < NO_DISK_MB)
    if not os.access(place, os.W_OK):
        yield Finding(f"{place} cannot be written by this user", f"ls -ld {place}", severe=True)


def _clock(home: Path) -> Iterator[Finding]:
    today = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    mend = "timedatectl set-ntp true"
    if time.time() < time.mktime(EARLIEST.timetuple()):
        yield Finding(f"the clock says {today} UTC, which has long passed", mend, severe=True)
        return
    newest = max((p.stat().st_mtime for p in (home / "db").glob("**/run/*.json")), default=0.0)
    if newest > time.time() + CLOCK_SLACK_S:
        ahead = newest - time.time()
        yield Finding(f"the clock was set back: the last run wrote {ahead:.0f} s from now", mend)


def settings_of(home: Path, names: Sequence[str], venue: Venue) -> tuple[list[Settings], list[Finding]]:
    """Every instance that loads, and what is wrong with the others or between them."""
    loaded, findings = [], []
    for name in names:
        path = home / "instances" / f"{name}.env"
        try:
            loaded.append(gateway_settings.load(home, name, venue))
        except SettingsError as exc:
            loose = os.name == "posix" and path.exists() and path.stat().st_mode & 0o077
            fix = (lambda path=path: path.chmod(0o600)) if loose else None
            mend = f"chmod 600 {path}" if loose else f"edit instances/{name}.env"
            findings.append(Finding(str(exc), mend, severe=True, fix=fix))
    try:
        plan.check_clashes(loaded)
    except SettingsError as exc:
        findings.append(Finding(str(exc), "give each instance its own value", severe=True))
    for one in loaded:
        findings += [Finding(text, f"edit instances/{one.name}.env") for text in one.warnings]
    return loaded, findings


def store(loaded: Sequence[Settings]) -> Iterator[Finding]:
    """What keeps the market-data store from being filled or read."""
    if not loaded:
        return
    try:
        chosen = puller.candidates(loaded)
        services.children(loaded, plan.UpOptions())
        url = services.store_of(loaded)
    except SettingsError as exc:
        yield Finding(str(exc), "edit the lines named, then: algo up", severe=True)
        return
    if not chosen:
        yield Finding("no instance may or can pull market data", "HISTORIFY_PULLER=NAME in an env file")
    if is_server(url):
        return
    manifest = StorePaths(Path(url)).control
    if manifest.exists() and (problem := _broken(manifest)):
        mend = f"algo down, then move {manifest} and its -wal away together; keep both; algo restore"
        yield Finding(f"{manifest} (the market-data store): {problem}", mend, severe=True)


def services_now(rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """What the running services say of themselves (rows of `algo status`)."""
    for row in rows:
        for text in row["waiting_for"]:
            yield Finding(str(text), f"algo logs {row['name']}; algo login (a puller needs a broker session)")


def _services(loaded: Sequence[Settings]) -> list[plan.ChildSpec]:
    """Without those that cannot be told: ``store`` says why."""
    try:
        return services.children(loaded, plan.UpOptions())
    except SettingsError:
        return []


def run(folder: RunFolder, loaded: Sequence[Settings]) -> Iterator[Finding]:
    """Processes, ports and locks of one venue."""
    children = folder.live_children()
    supervised = folder.read_control() is not None
    if children and not supervised:
        pids = ", ".join(f"{row.key} {process.pid}" for row, process in children)
        yield Finding(f"running without a supervisor: {pids}", "algo up (adopts them)")
    live = {row.key for row, _ in children}
    for spec in (*plan.children(list(loaded), plan.UpOptions()), *_services(loaded)):
        if spec.key in live:
            continue
        for text in preflight.taken_ports([spec]):
            yield Finding(text, "end that program or change the setting", severe=True)
    word = panicfile.PanicFile(folder.path / panicfile.NAME).read()
    if word is not None and word.active:
        yield Finding(f"entries are blocked since {word.at} ({word.reason})", "algo panic --resume")


def databases(one: Settings) -> Iterator[Finding]:
    """Each SQLite file, read only: whole, and of this venue."""
    for setting, path in one.databases.sqlite().items():
        if not path.exists():
            continue
        problem = _damage(path, one.venue)
        if problem:
            yield Finding(
                f"{path} ({one.name} {setting}): {problem}",
                f"algo down {one.name}, then move the file and its -wal away together; keep both",
                severe=True,
            )


def _broken(path: Path) -> str:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as exc:
        return str(exc)
    except sqlite3.DatabaseError as exc:
        return f"damaged: {exc}"
    return "" if said == "ok" else f"damaged: {said}"


def _damage(path: Path, venue: Venue) -> str:
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0) as connection:
            said = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
            meta = dict(connection.execute("select name, value from meta"))
    except sqlite3.OperationalError as exc:
        return "not made by algo; it is left alone" if "no such table" in str(exc) else str(exc)
    except sqlite3.DatabaseError as exc:
        return f"damaged: {exc}"
    if said != ["ok"]:
        return f"damaged: {said[0]}"
    return "" if meta.get("venue") == venue.value else f"of the other venue ({meta.get('venue')})"


def days_now(rows: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    """Alarms of the broker day of what runs, and addresses that could not be compared."""
    mends = {
        "login-needed": "algo login {}",
        "instruments-stale": "algo instruments sync {}",
        "egress-mismatch": "register the address with the broker, or mend REGISTERED_IP of {}",
    }
    for row in rows:
        told = dict((row.get("broker_day") or {}).get("alarms") or {})
        for name, reason in told.items():
            yield Finding(f"{row['name']}: {reason}", mends.get(name, "algo status {}").format(row["name"]))
        if row.get("late"):
            yield Finding(f"{row['name']}: {row['late']}", f"algo status {row['name']}")
        egress = row.get("egress") or {}
        if egress.get("state") in ("unknown", "unregistered") and egress.get("reason"):
            what = f"{row['name']}: orders leave from {egress.get('seen') or 'where nobody knows'}"
            yield Finding(f"{what}; {egress['reason']}", f"see EGRESS_IP_URL in instances/{row['name']}.env")


def calendar(today: date) -> Iterator[Finding]:
    """The holiday file must reach past today."""
    last = max((day.on for day in FileCalendar().days()), default=date.min)
    if last < today:
        yield Finding(
            f"the exchange calendar knows nothing after {last}: holidays would count as trading days",
            "python scripts/update_calendar.py",
        )


def everything(home: Path, names: Sequence[str], venue: Venue, today: date) -> list[Finding]:
    """All findings, the severe ones first."""
    loaded, findings = settings_of(home, names, venue)
    if not names:
        findings.append(Finding(f"no instance in {home}/instances", "algo init dhan, or: algo up dhan --sim"))
    findings += machine(home)
    findings += run(RunFolder(home, venue), loaded)
    findings += store(loaded)
    for one in loaded:
        findings += databases(one)
    findings += calendar(today)
    return sorted(findings, key=lambda one: not one.severe)
