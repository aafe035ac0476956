"""Seeds of the order path's simulation, as many as wanted, on every core.

scripts/campaign simulation [--seeds 50000] [--first 0] [--seed N [--trace]]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.simulation import runner

CHUNK = 250


def chunk(first: int) -> list[runner.Failure]:
    return runner.failures(range(first, first + CHUNK))


def one(seed: int, *, trace: bool) -> int:
    lines: list[str] = []
    failure = runner.run(seed, lines)
    if trace:
        print("\n".join(lines))
    print(failure or f"seed {seed}: every promise held")
    return 1 if failure else 0


def many(first: int, seeds: int, workers: int) -> int:
    begun, done = time.monotonic(), 0
    bad: list[runner.Failure] = []
    with ProcessPoolExecutor(workers) as pool:
        for found in pool.map(chunk, range(first, first + seeds, CHUNK)):
            done += CHUNK
            bad += found
            for failure in found:
                print(failure, flush=True)
            if done % (20 * CHUNK) == 0:
                print(
                    f"{done} of {seeds} seeds, {len(bad)} bad, {time.monotonic() - begun:.0f} s", flush=True
                )
    spent_s = time.monotonic() - begun
    print(
        f"simulation: seeds {first} to {first + done - 1}, {len(bad)} bad, {spent_s:.0f} s on {workers} cores"
    )
    if bad:
        print(runner.told(bad))
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/campaign simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play one seed")
    parser.add_argument("--trace", action="store_true", help="with --seed: what happened, in order")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.seed is not None:
        return one(options.seed, trace=options.trace)
    return many(options.first, options.seeds, options.workers)


if __name__ == "__main__":
    sys.exit(main())
