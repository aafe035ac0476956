"""``algo doctor``."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from brokers.clock import IST
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from gateway.settings.risk import NO_RULES
from supervisor.client import ask_running, message_of
from supervisor.operations import checkup
from supervisor.operations.checkup import Finding
from supervisor.running import CommandFailed, ask
from supervisor.state import RunFolder, running_venue

BROKER_S = 60.0


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--sim", is_flag=True, help="Look at the simulated side (default: what runs, else live).")
@click.option("--fix", is_flag=True, help="Mend what can be mended safely, then look again.")
@click.option(
    "--broker", "broker", metavar="NAME", help="Log in at its broker; read funds, a quote and a tick."
)
@click.option("--go-live", is_flag=True, help="The checklist before trading with money, passed or not.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@click.pass_obj
def doctor(
    home: Path, names: tuple[str, ...], sim: bool, fix: bool, broker: str | None, go_live: bool, as_json: bool
) -> None:
    """What is wrong here, and the command that mends it. Exit code 1 when something must be mended.

    \b
    Examples:
      algo doctor --fix
      algo doctor --broker dhan      needs the instance running
      algo doctor --go-live dhan
    """
    venue = Venue.SIM if sim else running_venue(home) or Venue.LIVE
    wanted = list(names) or gateway_settings.instance_names(home)
    if broker:
        _show_steps(_broker(gateway_settings.load(home, broker, venue)), as_json)
        return
    if go_live:
        steps = [step for name in wanted for step in _go_live(home, name)]
        _show_steps(steps, as_json)
        return
    today = datetime.now(IST).date()
    findings = checkup.everything(home, wanted, venue, today) + _of_services(RunFolder(home, venue))
    if fix:
        mended = [one for one in findings if one.fix is not None]
        for one in mended:
            assert one.fix is not None
            one.fix()
            click.echo(f"mended: {one.mend}", err=as_json)
        findings = checkup.everything(home, wanted, venue, today) if mended else findings
    _show(findings, venue, as_json)
    if any(one.severe for one in findings):
        raise click.exceptions.Exit(1)


def _show(findings: list[Finding], venue: Venue, as_json: bool) -> None:
    if as_json:
        rows = [
            {"what": f.what, "mend": f.mend, "severe": f.severe, "fixable": bool(f.fix)} for f in findings
        ]
        click.echo(json.dumps({"venue": venue.value, "findings": rows}, indent=1))
        return
    for one in findings:
        mark = click.style("must be mended", fg="red") if one.severe else click.style("note", fg="yellow")
        click.echo(f"{mark}: {one.what}")
        click.echo(f"    {one.mend}" + ("   (or: algo doctor --fix)" if one.fix else ""))
    if not findings:
        click.echo("nothing found")


def _of_services(folder: RunFolder) -> list[Finding]:
    if folder.read_control() is None:
        return []
    status = ask(folder, "status")
    return [*checkup.services_now(status["services"]), *checkup.days_now(status["instances"])]


Step = tuple[str, bool, str]
"""What was checked, whether it passed, what was seen."""


def _broker(one: Settings) -> list[Step]:
    """The real path once: log in, funds, a quote, a tick. Sends no order."""
    status, answer = ask_running(one, "POST", "/internal/checkup", {}, timeout_s=BROKER_S)
    if status != 200:
        raise CommandFailed(f"{one.name}: HTTP {status}: {message_of(answer, 'no reason given')}")
    return [(f"{one.name} {row['what']}", bool(row["passed"]), str(row["seen"])) for row in answer["steps"]]


def _go_live(home: Path, name: str) -> list[Step]:
    loaded, findings = checkup.settings_of(home, [name], Venue.LIVE)
    steps: list[Step] = [
        (f"{name} settings", not findings, "; ".join(f.what for f in findings) or "complete")
    ]
    machine = list(checkup.machine(home))
    steps.append(
        (f"{name} machine", not machine, "; ".join(f.what for f in machine) or "disk, clock, descriptors")
    )
    if not loaded:
        return steps
    one = loaded[0]
    running = any(row.instance == name for row, _ in RunFolder(home, Venue.LIVE).live_children())
    steps.append((f"{name} runs live", running, one.url if running else f"algo up {name}"))
    limits = [n for n in one.risk.__slots__ if getattr(one.risk, n) != getattr(NO_RULES, n)]
    steps.append(
        (
            f"{name} risk limits",
            bool(limits),
            ", ".join(limits) or "none in its env; its settings page may have",
        )
    )
    word = "loopback only" if one.host in ("127.0.0.1", "localhost") else f"listens on {one.host}"
    steps.append((f"{name} reachable from outside", one.host in ("127.0.0.1", "localhost"), word))
    return steps + (_broker(one) if running else [])


def _show_steps(steps: list[Step], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([{"what": w, "passed": p, "seen": s} for w, p, s in steps], indent=1))
    else:
        for what, passed, seen in steps:
            mark = click.style("pass", fg="green") if passed else click.style("FAIL", fg="red")
            click.echo(f"{mark}  {what}: {seen}")
    if not all(passed for _, passed, _ in steps):
        raise click.exceptions.Exit(1)
