"""The store filled from the simulated brokers: every candle is the seed's, pulling twice changes nothing, the
other instance's broker is not asked, a killed puller's job goes on, and a standby takes over in the middle.

    scripts/campaign history_failover [--symbols 50] [--days 30]
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from brokers.clock import IST
from historify.jobs.model import Job, JobRequest, JobState, Mode
from historify.model import BarRequest
from tests.e2e.fleet import until
from tests.historify.house import SEED, House, shares, truth

PROMISED_S = 15.0
OTHER = {"dhan": "kotak", "kotak": "dhan"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is pulled: so many shares, whole days that are over."""

    symbols: tuple[str, ...]
    start: date
    end: date

    def request(self, mode: Mode = Mode.MISSING) -> JobRequest:
        keys = tuple(("NSE", symbol) for symbol in self.symbols)
        return JobRequest(keys, ("1m", "D"), self.start, self.end, mode=mode, requested_by="campaign")


def wish(house: House, symbols: int, days: int, back: int = 0) -> Wish:
    """``days`` days that ended ``back`` days before yesterday."""
    end = datetime.now(IST).date() - timedelta(days=1 + back)
    return Wish(tuple(shares(house.exchange(), symbols)), end - timedelta(days=days - 1), end)


def compare(house: House, wanted: Wish) -> int:
    """Every bar of the store against the seed; how many there are. Raises ``AssertionError``."""
    exchange, bars = house.exchange(), 0
    with house.store() as store:
        for symbol in wanted.symbols:
            for interval in ("1m", "D"):
                got = list(store.get(BarRequest("NSE", symbol, interval, wanted.start, wanted.end)).rows())
                expected = truth(exchange, symbol, interval, wanted.start, wanted.end)
                wrong = next((pair for pair in zip(got, expected, strict=False) if pair[0] != pair[1]), None)
                assert wrong is None, f"{symbol} {interval}: {wrong}"
                assert len(got) == len(expected), f"{symbol} {interval}: {len(got)} of {len(expected)} bars"
                bars += len(got)
    assert bars
    return bars


def publishes(house: House) -> int:
    """Changes of the store so far."""
    with house.store() as store, store.control.read() as connection:
        return int(connection.execute("SELECT value FROM counter WHERE name = 'publish'").fetchone()[0])


def pulled(house: House, request: JobRequest, seconds: float) -> Job:
    job = house.done(house.enqueue(request), seconds)
    assert (job.state, job.failed) == (JobState.DONE, 0), job
    return job


def under_way(house: House, job: Job) -> Job:
    def begun() -> Job | None:
        found = house.job(job.id)
        return found if found.chunks_done else None

    found = until(begun, 60, "the first answer is stored")
    assert isinstance(found, Job)
    assert found.state is JobState.RUNNING, f"already {found.state}: nothing to interrupt"
    return found


def killed(house: House, wanted: Wish, order: tuple[str, ...], seconds: float) -> Job:
    """Kill -9 in the middle; the next puller ends the job."""
    job = under_way(house, house.enqueue(wanted.request()))
    house.end("historify", signal.SIGKILL)
    house.start_puller(*order)
    after = house.done(job, seconds)
    assert (after.state, after.failed) == (JobState.DONE, 0), after
    assert after.epoch > job.epoch
    assert after.attempt == 2, after
    return after


def failover(house: House, wanted: Wish, seconds: float) -> tuple[Job, float]:
    """The session of the designated one's broker ends in the middle; seconds until the standby stored
    something.
    """
    job = under_way(house, house.enqueue(wanted.request()))
    house.end_session(job.source)
    began = time.monotonic()

    def taken() -> bool:
        now = house.job(job.id)
        return now.source == OTHER[job.source] and now.chunks_done > job.chunks_done

    until(taken, 60, "the standby pulls")
    took = time.monotonic() - began
    after = house.done(job, seconds)
    assert (after.state, after.failed) == (JobState.DONE, 0), after
    return after, took


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign history_failover", description=__doc__)
    parser.add_argument("--symbols", type=int, default=50)
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    patience_s = 60 + options.symbols * options.days * 2
    broken = False
    print(f"history: seed {SEED}, {options.symbols} symbols, {options.days} days, 1m and D")
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), ("dhan", "kotak"))
        try:
            house.start()
            for name in house.names:
                house.store_name = f"only_{name}"
                house.start_puller(name)
                wanted = wish(house, options.symbols, options.days)
                before = house.history_calls(OTHER[name])
                began = time.monotonic()
                job = pulled(house, wanted.request(), patience_s)
                took = time.monotonic() - began
                bars = compare(house, wanted)
                asked = house.history_calls(OTHER[name]) - before
                assert not asked, f"{OTHER[name]} was asked {asked} times"
                changes = publishes(house)
                pulled(house, wanted.request(Mode.ALL), patience_s)
                pulled(house, wanted.request(), patience_s)
                assert publishes(house) == changes, "pulling twice changed something"
                assert compare(house, wanted) == bars
                house.end("historify")
                print(
                    f"truth {name}: {bars:,} bars equal the seed's, {took:.0f} s, {job.chunks_done} calls; "
                    f"pulled again twice: no change; {OTHER[name]} was not asked"
                )
            house.store_name = "both"
            house.start_puller("dhan", "kotak")
            few = min(options.symbols, 10)
            wanted = wish(house, few, 3)
            killed(house, wanted, ("dhan", "kotak"), patience_s)
            print(f"kill -9: the job went on; {compare(house, wanted):,} bars equal the seed's")
            wanted = wish(house, few, 3, back=3)
            _, took = failover(house, wanted, patience_s)
            broken = took > PROMISED_S
            print(f"failover: kotak went on after {took:.1f} s; {compare(house, wanted):,} bars equal")
        finally:
            house.close()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
