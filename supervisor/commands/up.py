"""``algo up``."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from brokers import registry
from brokers.errors import AlgoError, SettingsError
from brokers.model import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor import failure, plan, preflight, services
from supervisor.client import ask_api, chosen
from supervisor.commands.down import stop
from supervisor.commands.printing import from_here
from supervisor.console.config import CODE
from supervisor.operations import checkup, stopping
from supervisor.render import status_table
from supervisor.running import CommandFailed, ask, ensure_supervisor
from supervisor.setup import envfile
from supervisor.state import RunFolder, running_venue

READY_DEADLINE_S = 90.0
WRONG_SETTINGS = 2


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--sim", is_flag=True, help="Simulated brokers: no account, no real order, data under db/sim/.")
@click.option("-d", "--detach", is_flag=True, help="Return once everything is ready.")
@click.option("--symbols", help="Subscribe from the start: NSE:SBIN,NFO:… (a bare symbol means NSE).")
@click.option("--symbols-file", type=click.Path(path_type=Path, exists=True), help="The same, one a line.")
@click.option("--sim-universe", type=click.Choice(["small", "full"]), help="full: about 200,000 instruments.")
@click.option("--sim-hours", type=click.Choice(["always", "nse"]), help="When the simulated exchange trades.")
@click.option("--sim-seed", type=int, help="Seed of the simulated prices.")
@click.option(
    "--puller", metavar="NAME", help="Whose broker fills the market-data store; else HISTORIFY_PULLER."
)
@click.option(
    "--route", metavar="NAME,NAME", help="One address for orders, to the best of these; else ROUTE."
)
@click.option("--timeout", default=READY_DEADLINE_S, show_default=True, help="Seconds to wait for readiness.")
@click.pass_obj
def up(
    home: Path,
    names: tuple[str, ...],
    sim: bool,
    detach: bool,
    symbols: str | None,
    symbols_file: Path | None,
    sim_universe: str | None,
    sim_hours: str | None,
    sim_seed: int | None,
    puller: str | None,
    route: str | None,
    timeout: float,
) -> None:
    """Start instances (all that have an env file when none is named).

    Everything is checked before anything starts. Running instances stay as they are. In the foreground a live
    table shows what each one waits for; Ctrl-C stops what this command started.

    \b
    Examples:
      algo up kotak dhan --sim
      algo up dhan -d --symbols SBIN,RELIANCE,NSE_INDEX:NIFTY
      algo up --puller dhan
      algo up dhan kotak --route dhan,kotak
    """
    if not sim and (sim_universe or sim_hours or sim_seed is not None):
        raise click.UsageError("--sim-… options need --sim")
    folder = RunFolder(home, Venue.SIM if sim else Venue.LIVE)
    _refuse_other_venue(home, folder.venue)
    wanted = chosen(home, names)
    if sim:
        _make_missing(home, wanted)
    options = plan.UpOptions(
        symbols=_symbols(symbols, symbols_file),
        sim_universe=sim_universe or "",
        sim_hours=sim_hours or "",
        sim_seed=sim_seed,
        puller=puller or "",
        route=tuple(dict.fromkeys(word.strip() for word in (route or "").split(",") if word.strip())),
    )
    _check_before_anything(folder, wanted, options)
    ran = {row.instance for row, _ in folder.live_children()}
    try:
        started = _start(folder, wanted, options)
        if detach or not started:
            _wait(folder, wanted, timeout, show=_nothing)
            _say_ready(home, folder, wanted)
            return
        _foreground(home, folder, wanted, timeout)
    except KeyboardInterrupt:
        if detach:
            raise
        _leave(folder, [name for name in wanted if name not in ran])


def _start(folder: RunFolder, wanted: list[str], options: plan.UpOptions) -> list[str]:
    """Have the supervisor start what does not run yet; the names it started."""
    fresh = ensure_supervisor(folder)
    try:
        reply = ask(folder, "up", {"names": wanted, "options": options.to_plain()})
    except (SettingsError, CommandFailed):
        if fresh:
            ask(folder, "down")
        raise
    if reply["unchanged"]:
        click.echo(f"already running: {', '.join(reply['unchanged'])}")
    return list(reply["started"])


def _refuse_other_venue(home: Path, venue: Venue) -> None:
    running = running_venue(home)
    if running is not None and running is not venue:
        raise SettingsError(
            f"instances are running {'simulated' if running is Venue.SIM else 'live'} here; "
            "changing the venue needs `algo down` first"
        )


def _make_missing(home: Path, names: list[str]) -> None:
    """With --sim a missing file of a known broker is made as ``algo init`` would."""
    for name in names:
        if (home / "instances" / f"{name}.env").exists() or name not in registry.names():
            continue
        path = envfile.create(home, name, None)
        click.echo(f"{from_here(path)} did not exist; made one as `algo init {name}` does")


def _check_before_anything(folder: RunFolder, names: list[str], options: plan.UpOptions) -> None:
    """The same checks the supervisor makes, before a supervisor is even started."""
    running = {row.instance for row, _ in folder.live_children()}
    loaded = [gateway_settings.load(folder.home, n, folder.venue) for n in names]
    for warning in (w for one in loaded for w in one.warnings):
        click.echo(f"note: {warning}", err=True)
    plan.check_clashes(loaded)
    found = list(checkup.machine(folder.home))
    for one in found:
        click.echo(f"note: {one.what}; {one.mend}", err=True)
    if any(one.severe for one in found):
        raise SettingsError("not started: see above; `algo doctor` says more")
    live = {row.key for row, _ in folder.live_children()}
    fresh = [one for one in loaded if one.name not in running]
    shared = services.children([*_running_beside(folder, running, names), *loaded], options)
    preflight.check_ports([s for s in (*plan.children(fresh, options), *shared) if s.key not in live])


def _running_beside(folder: RunFolder, running: set[str], names: list[str]) -> list[Settings]:
    """The instances that run and are not asked for; one whose file is broken meanwhile is not judged here."""
    found = []
    for name in sorted(running - {"", *names}):
        with contextlib.suppress(SettingsError):
            found.append(gateway_settings.load(folder.home, name, folder.venue))
    return found


def _symbols(text: str | None, file: Path | None) -> tuple[str, ...]:
    found = [s.strip() for s in (text or "").split(",") if s.strip()]
    if file is not None:
        lines = (line.strip() for line in file.read_text().splitlines())
        found += [line for line in lines if line and not line.startswith("#")]
    return tuple(dict.fromkeys(found))


def _wait(
    folder: RunFolder, names: list[str], timeout_s: float, show: Callable[[dict[str, Any]], None]
) -> None:
    """Until all are ready. Raises ``CommandFailed`` naming what failed or what is still awaited."""
    deadline = time.monotonic() + timeout_s
    while True:
        status = ask(folder, "status")
        show(status)
        rows = [row for row in status["instances"] if row["name"] in names]
        if any(c["state"] == "failed" for row in rows for c in row["children"]):
            raise _give_up(folder, rows)
        shared = [row for row in status["services"] if _just_begun(row)]
        if rows and all(row["state"] == "ready" for row in rows) and not shared:
            return
        if time.monotonic() > deadline:
            waits = "; ".join(w for row in (*rows, *shared) for w in row["waiting_for"])
            raise CommandFailed(f"not ready after {timeout_s:.0f} s: {waits}")
        time.sleep(0.1)


def _just_begun(row: dict[str, Any]) -> bool:
    """A service on its first start. One in trouble is shown, not waited for: trading needs none of them."""
    return row["state"] in ("planned", "starting") and not row["restarts"]


def _give_up(folder: RunFolder, rows: list[dict[str, Any]]) -> AlgoError:
    """Stop the instances of which a process failed: nothing stays half started, the others go on."""
    failed = [(row["name"], child) for row in rows for child in row["children"] if child["state"] == "failed"]
    said = "\n".join(failure.told(child) for _, child in failed)
    ask(folder, "down", {"names": sorted({name for name, _ in failed})})
    if all(child["exit_code"] == WRONG_SETTINGS for _, child in failed):
        return SettingsError(said)
    return CommandFailed(said)


def _nothing(status: dict[str, Any]) -> None:  # noqa: ARG001 - a view that shows nothing
    return


def _say_ready(home: Path, folder: RunFolder, names: list[str]) -> None:
    found = ask(folder, "status")
    rows = {row["name"]: row for row in found["instances"]}
    for name in names:
        row = rows[name]
        ports = row["ports"]
        sim = " (simulated)" if row["venue"] == "sim" else ""
        click.echo(
            f"{name}{sim} ready: {row['url']}  WebSocket {ports['websocket']}  ZeroMQ {ports['zeromq']}"
        )
        one = gateway_settings.load(home, name, folder.venue)
        status, answer = ask_api(one, "GET", "/internal/status", timeout_s=5.0)
        if status == 200 and isinstance(answer, dict) and answer.get("owner_code"):
            click.echo(f"  first sign-in: open {row['url']} with the one-time code {answer['owner_code']}")
    for row in found["services"]:
        said = [f"  {failure.told(child)}" for child in row["children"] if child["state"] == "failed"]
        # one that has just begun waits for an api, as it should
        for text in said or (row["waiting_for"] if row["state"] != "ready" else []):
            click.echo(f"note: {text}", err=True)
        if row["name"] == services.CONSOLE and row["state"] == "ready":
            _say_console(folder, f"http://127.0.0.1:{row['port']}")
        if row["name"] == services.ROUTE and row["state"] == "ready":
            click.echo(
                f"orders to the best instance: http://127.0.0.1:{row['port']}  (algo route key create)"
            )
    if home not in (Path.cwd(), *Path.cwd().parents):
        click.echo(f"settings and databases are in {home}")
    click.echo(f"API key for a strategy: algo key create {names[0]}")


def _say_console(folder: RunFolder, url: str) -> None:
    click.echo(f"all instances on one page: {url}")
    with contextlib.suppress(FileNotFoundError):
        code = (folder.path / CODE).read_text(encoding="utf-8").strip()
        click.echo(f"  first sign-in: open {url} with the one-time code {code}")


def _foreground(home: Path, folder: RunFolder, names: list[str], timeout_s: float) -> None:
    """Live table, until Ctrl-C ends it."""
    console = Console()
    if not console.is_terminal:
        _wait(folder, names, timeout_s, show=_nothing)
        _say_ready(home, folder, names)
        while True:
            time.sleep(1.0)
            ask(folder, "status")
    with Live(console=console, auto_refresh=False) as live:
        _wait(folder, names, timeout_s, lambda s: live.update(status_table(s, console.width), refresh=True))
        _say_ready(home, folder, names)
        while True:
            live.update(status_table(ask(folder, "status"), console.width), refresh=True)
            time.sleep(0.5)


def _leave(folder: RunFolder, started: list[str]) -> None:
    """Ctrl-C: stop what this command started.

    Where something is open that must not be left, ask once; a second Ctrl-C keeps it and leaves.
    """
    click.echo("\nstopping…")
    if not started or folder.read_control() is None:
        return
    policy: str | None = None
    while True:
        try:
            stopping.settle(folder, started, policy, force=False, say=click.echo)
            break
        except CommandFailed as exc:
            click.echo(str(exc), err=True)
        try:
            policy = click.prompt("what to do", type=click.Choice(("keep", "cancel", "flatten")))
        except (KeyboardInterrupt, click.Abort):
            break
    stop(folder, started)
