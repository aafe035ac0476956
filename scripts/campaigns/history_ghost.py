"""The store's writer, stopped with SIGSTOP at random moments, taken over by force, and resumed: no ghosts.

scripts/campaign history_ghost [--rounds 200] [--seed 1]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from brokers.clock import SystemClock
from historify import lease
from historify.control import Control
from historify.errors import LeaseLost, StoreBusy, StoreError
from historify.model import Batch, Provenance
from historify.segments.damage import verify
from historify.store import SegmentStore
from scripts.campaigns.history_kill import CONTEXT, SERIES, marked, opened, worth

THEIRS = 1_000_000
"""Batches of the stopped writers are numbered from here, the successors' below."""


@dataclass(frozen=True, slots=True)
class Figures:
    rounds: int
    fenced: int
    frozen_inside: int
    """Stopped inside a transaction, where it holds everybody up until it is resumed."""


def write(folder: Path, number: int, told: Connection) -> None:
    """The sleeper: publishes until it learns that its epoch is over."""
    store = opened(folder)
    fence = lease.acquire(store.control, None, "sleeper", SystemClock(), force=True)
    told.send(("ready", fence.epoch))
    try:
        while True:
            number += 1
            batch = Batch(
                SERIES[number % len(SERIES)], marked(number), Provenance("dhan", int(time.time()), number)
            )
            store.put_many([batch], fence=fence)
            told.send(("done", number))
    except LeaseLost:
        told.send(("lost", number))
    except StoreError as exc:  # something else than the fence held it up: by luck, in this round
        told.send(("unfenced", str(exc)))


def take_over(control: Control, pid: int) -> tuple[lease.Lease, bool]:
    """A new epoch by force; one that sleeps inside a transaction is woken for a moment first."""
    woken = False
    while True:
        try:
            return lease.acquire(control, None, "successor", SystemClock(), force=True), woken
        except StoreBusy:
            woken = True
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.02)
            os.kill(pid, signal.SIGSTOP)


def one_round(store: SegmentStore, impatient: Control, number: int, wait_s: float) -> bool:
    """Raises ``AssertionError`` on a publish of the old epoch after the new one; True: it slept inside."""
    ours, theirs = CONTEXT.Pipe(duplex=False)
    sleeper = CONTEXT.Process(target=write, args=(store.paths.face.parent, THEIRS + 1000 * number, theirs))
    sleeper.start()
    theirs.close()
    assert sleeper.pid is not None
    try:
        return contest(store, impatient, number, wait_s, sleeper.pid, ours)
    finally:
        sleeper.kill()
        sleeper.join()


def contest(
    store: SegmentStore, impatient: Control, number: int, wait_s: float, pid: int, ours: Connection
) -> bool:
    """The sleeper ``pid`` is stopped, replaced, and resumed while its successor publishes."""
    _, old = ours.recv()
    time.sleep(wait_s)
    os.kill(pid, signal.SIGSTOP)
    fence, woken = take_over(impatient, pid)
    with impatient.read() as connection:
        last = connection.execute("SELECT coalesce(max(id), 0) FROM ingest").fetchone()[0]
    batches = [Batch(one, marked(number), Provenance("dhan", 1, number)) for one in SERIES]
    store.put_many(batches[: len(batches) // 2], fence=fence)
    os.kill(pid, signal.SIGCONT)
    store.put_many(batches[len(batches) // 2 :], fence=fence)
    said, until = [("ready", old)], time.monotonic() + 10
    while said[-1][0] != "lost":
        assert time.monotonic() < until, f"epoch {old} goes on publishing beside epoch {fence.epoch}"
        assert ours.poll(10), "the resumed writer neither publishes nor learns that it was replaced"
        said.append(ours.recv())
        assert said[-1][0] != "unfenced", f"epoch {old} went past the fence of {fence.epoch}: {said[-1][1]}"
    with impatient.read() as connection:
        ghosts = connection.execute(
            "SELECT count(*) FROM ingest WHERE id > ? AND epoch = ?", (last, old)
        ).fetchone()[0]
    assert ghosts == 0, f"{ghosts} batches of epoch {old} were published after epoch {fence.epoch} began"
    seen = {worth_of(store, place) for place in range(len(SERIES))}
    assert seen == {number}, f"round {number}: bars of {seen}"
    return woken


def worth_of(store: SegmentStore, place: int) -> int:
    """The price of a series; its newest provenance may be a number of the sleeper's."""
    with store.control.transaction() as tx:
        tx.execute("DELETE FROM ingest WHERE job > ?", (THEIRS,))
    return worth(store, SERIES[place])


def run(folder: Path, rounds: int, seed: int, *, longest_s: float = 0.12) -> Figures:
    """Raises ``AssertionError`` at the first ghost."""
    CONTEXT.set_forkserver_preload([__name__, "historify.segments.writer"])
    dice = random.Random(seed)
    store = opened(folder)
    impatient = Control(store.paths.control, busy_s=0.2)
    inside = sum(
        one_round(store, impatient, number, dice.uniform(0, longest_s)) for number in range(1, rounds + 1)
    )
    assert not list(verify(store.control, store.paths.root))
    store.close()
    impatient.close()
    return Figures(rounds, rounds, inside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"seed {args.seed}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            figures = run(Path(folder), args.rounds, args.seed)
        except AssertionError as exc:
            print(f"BROKEN: {exc}")
            return 1
    print(
        f"{figures.rounds} takeovers: 0 ghost publishes; {figures.fenced} fenced, "
        f"{figures.frozen_inside} of them had stopped inside a transaction"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
