"""``algo compare --orders``: look, refuse or plan, ask for consent, send, clean up, report."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from brokers.clock import IST
from brokers.errors import AlgoError, StoreError
from gateway.panicfile import NAME as PANIC_NAME
from gateway.panicfile import PanicFile
from gateway.settings import Settings
from supervisor.client import CommandFailed
from supervisor.compare import figures, probe
from supervisor.compare.collect import Instance, probe_stages, standing_of
from supervisor.compare.figures import Measure, Report, Share
from supervisor.compare.ledger import NAME, Ledger
from supervisor.compare.probe import Plan, Standing
from supervisor.compare.progress import Lines
from supervisor.compare.sender import Left, Run, Shot, tidy
from supervisor.lock import FolderLock
from supervisor.running import current_folder

STAGES = {
    "acknowledge": "the broker's part alone: bytes sent to answer read, as the gateway stamped them",
    "exchange": "bytes sent to the first order update that shows it at the exchange",
}
SETTLE_S = 3.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line's words."""

    exchange: str
    symbol: str
    side: str
    count: int
    seed: int | None
    period_s: float | None
    consent: tuple[str, ...]
    dry_run: bool


def probe_all(
    home: Path, fleet: Sequence[Settings], asked: Asked, console: Console
) -> tuple[Report | None, tuple[str, ...]]:
    """The report, None after a dry run; and what was left behind (empty: nothing).

    Raises:
        CommandFailed: Refused, with every reason; nothing was sent.
    """
    folder = current_folder(home)
    with FolderLock(folder.path / "compare.lock") as lock, ExitStack() as after:
        if not lock.held:
            raise CommandFailed("another `algo compare --orders` runs here")
        instances = [Instance(one, asked.exchange, asked.symbol) for one in fleet]
        blocked = _blocked(folder.path)
        ledger = Ledger(folder.path.parent / NAME, folder.venue.value)
        day = datetime.now(IST).date().isoformat()
        seen = [one.look(ledger.used(one.settings.name, day), blocked) for one in instances]
        markets = {one.settings.name: market for one, (_, market) in zip(instances, seen, strict=True)}
        seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
        plan = probe.plan(
            asked.exchange, asked.symbol, asked.side, markets, asked.count, seed, period_s=asked.period_s
        )
        _show(plan, fleet, console)
        standings = [standing for standing, _ in seen]
        live = [one.instance for one in standings if one.venue != "sim"]
        if asked.dry_run or (live and not set(live) <= set(asked.consent) and not sys.stdin.isatty()):
            _dry(asked, standings, console)
            return None, ()
        consent = tuple(asked.consent) or _ask_consent(live)
        _refuse(probe.refusals(asked.side, standings, asked.count, consent))
        for one in instances:
            one.open()
            after.callback(_close, one, console)
        wires = {one.settings.name: one for one in instances}
        _sweep(wires, standings)
        if why := ledger.take(dict.fromkeys(wires, asked.count), day):
            raise CommandFailed(why)
        run = Run(
            plan,
            wires,
            f"{int(time.time()):x}{secrets.token_hex(2)}",
            may_go_on=_watcher(asked, wires, folder.path),
        )
        began = time.time()
        left = _go(run, plan, console)
        for name in wires:
            sent = len({shot.round for shot in run.shots if shot.instance == name})
            ledger.give_back(name, day, asked.count - sent)
        return _report(plan, fleet, run, began), _told(left)


def _blocked(folder: Path) -> str:
    word = PanicFile(folder / PANIC_NAME).read()
    return (word.reason or "panic") if word and word.active else ""


def _show(plan: Plan, fleet: Sequence[Settings], console: Console) -> None:
    console.print(f"seed {plan.seed}, {plan.rounds} rounds, one every {plan.period_s:g} s", highlight=False)
    for one in fleet:
        for line in plan.orders():
            console.print(f"  {one.name} ({one.broker}, {one.venue.value}): {line}", highlight=False)


def _dry(asked: Asked, standings: Sequence[Standing], console: Console) -> None:
    """What would be in the way, consent aside; nothing is sent."""
    everybody = [one.instance for one in standings]
    for why in probe.refusals(asked.side, standings, asked.count, everybody):
        console.print(f"would be refused: {why}", highlight=False)
    console.print("dry run: nothing was sent; live instances need --consent NAME for each", highlight=False)


def _ask_consent(live: Sequence[str]) -> tuple[str, ...]:
    """Typed by a person for this session only."""
    if not live:
        return ()
    click.echo(f"These are real orders at a real broker: {', '.join(live)}.")
    given = click.prompt(
        "Type the names of the instances that may be sent to, with blanks between", default=""
    )
    return tuple(given.split())


def _refuse(reasons: Sequence[str]) -> None:
    if reasons:
        raise CommandFailed("nothing was sent. " + "; ".join(reasons))


def _sweep(wires: Mapping[str, Instance], standings: Sequence[Standing]) -> None:
    """Probes that a killed run left behind go first."""
    for one in standings:
        if any(own for _, own in one.orders):
            left = tidy(one.instance, wires[one.instance], set())
            if left.open:
                raise CommandFailed(f"probes of an earlier run could not be cancelled: {left.open[0]}")


def _watcher(asked: Asked, wires: Mapping[str, Instance], folder: Path) -> Callable[[], str]:
    """Looks again while it runs: somebody else's opposite order, a panic, a mode switched."""

    def may_go_on() -> str:
        if _blocked(folder):
            return "entries were blocked (panic)"
        try:
            standings = [standing_of(name, one.standing(), 0, "") for name, one in wires.items()]
        except OSError as exc:
            return f"an instance does not say how it stands: {exc}"
        return "; ".join(probe.refusals(asked.side, standings, 0, list(wires)))

    return may_go_on


def _go(run: Run, plan: Plan, console: Console) -> Left:
    with Lines(plan, console) as lines:
        run.on_shot = lines.take
        with _stopped_by_signals(run, console, lines):
            return run.go()


@contextmanager
def _stopped_by_signals(run: Run, console: Console, lines: Lines) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the sending, never the cleaning."""

    def handler(number: int, _frame: object) -> None:
        run.stop(f"stopped by {signal.Signals(number).name}")
        lines.stopping()
        console.print("stopping; cancelling what was sent …", highlight=False)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _close(one: Instance, console: Console) -> None:
    try:
        one.close()
    except AlgoError as exc:
        console.print(f"the key of this run was not revoked: {exc}", highlight=False)


def _told(left: Left) -> tuple[str, ...]:
    open_ = tuple(f"NOT CANCELLED {text}: look at the broker" for text in left.open)
    return open_ + tuple(f"TRADED {text}: you hold a position" for text in left.filled)


def _report(plan: Plan, fleet: Sequence[Settings], run: Run, began: float) -> Report:
    rng = np.random.default_rng(plan.seed)
    measures, shares = figures.of_shots(run.shots, plan.instances, plan.rounds, rng, began, plan.period_s)
    stages, unanswered, missing = _stages(plan, fleet, run.name, began, rng)
    notes = [
        "Times count from the intended moment of sending, so that a slow answer cannot hide behind the next "
        "request. " + figures.lag_note(run.shots),
        f"{run.left.cancelled_late} probes were cancelled by the cleaning; none is left"
        if run.left.clean
        else "; ".join(_told(run.left)),
        *missing,
        *_reasons(run.shots),
    ]
    if run.stopped:
        notes.insert(0, f"Ended early: {run.stopped}")
    return Report(
        title=f"Order probes {plan.exchange}:{plan.symbol}",
        made_at=f"{datetime.now(IST):%Y-%m-%d %H:%M} IST",
        venue=fleet[0].venue.value,
        instances=plan.instances,
        brokers={one.name: one.broker for one in fleet},
        source=(f"seed {plan.seed}, {plan.rounds} rounds, one every {plan.period_s:g} s", *plan.orders()),
        measures=measures + stages,
        shares=shares + unanswered,
        notes=tuple(notes),
    )


def _stages(
    plan: Plan, fleet: Sequence[Settings], run: str, began: float, rng: np.random.Generator
) -> tuple[tuple[Measure, ...], tuple[Share, ...], list[str]]:
    """The gateways' own stamps of the same probes, round by round; what is not there yet is waited for."""
    found: list[Measure] = []
    shares: list[Share] = []
    since_ns = int((began - 1) * 1e9)
    for stage, meaning in STAGES.items():
        ops = ("place",) if stage == "exchange" else probe.OPS
        try:
            by_name = {one.name: _patient(one, run, plan.rounds, stage, since_ns) for one in fleet}
        except StoreError as exc:
            return tuple(found), tuple(shares), [f"No stage times: {exc}"]
        if stage == "acknowledge":
            shares.append(figures.unanswered(by_name))
        for op in ops:
            values = {name: by_op[op] for name, by_op in by_name.items()}
            at_s = began + plan.period_s * np.arange(plan.rounds, dtype=np.float64)
            found.append(figures.measure_pairs(f"{op}: {stage}", meaning, values, rng, at_s))
    return tuple(found), tuple(shares), []


def _patient(
    one: Settings, run: str, rounds: int, stage: str, since_ns: int
) -> dict[str, np.typing.NDArray[np.float64]]:
    """Rows are written half a second behind the orders."""
    ends = time.monotonic() + SETTLE_S
    while True:
        found = probe_stages(one, run, rounds, stage, since_ns)
        # its cancel is the last row of a run; the exchange's word on a place may still come
        last = found["place" if stage == "exchange" else "cancel"]
        if not np.isnan(last).any() or time.monotonic() >= ends:
            return found
        time.sleep(0.25)


def _reasons(shots: Sequence[Shot]) -> list[str]:
    """The first words of every kind of failure, by instance."""
    first: dict[tuple[str, str, str], str] = {}
    for shot in shots:
        if shot.code or shot.outcome in ("rejected", "lost", "limited"):
            first.setdefault((shot.instance, shot.op, shot.code), shot.message)
    return [f"{name} {op}: {code} {message}" for (name, op, code), message in first.items()]
