"""The estimators of ``algo compare`` in virtual time, more often than the suite asks them.

A probe run and a tick race are drawn for every seed; counted is how often the report's 95 % interval
covers each set figure, and how often it says "no significant difference" of equal brokers. Below 90 of
100: broken.

    scripts/campaign compare_virtual [--runs 1000] [--seed 0]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.supervisor.compare.pipeline import covered, quiet

LEAST = 0.9


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0, help="the first one")
    asked = options.parse_args()
    hits: Counter[str] = Counter()
    for seed in range(asked.seed, asked.seed + asked.runs):
        hits += covered(seed) + quiet(seed)
        if (seed + 1 - asked.seed) % 100 == 0:
            print(f"{seed + 1 - asked.seed} runs", flush=True)
    for name, count in sorted(hits.items()):
        print(f"{name}: {count / asked.runs:.1%}")
    least = min(hits.values()) / asked.runs
    print(f"{asked.runs} runs from seed {asked.seed}: {len(hits)} figures, the least at {least:.1%}")
    sys.exit(least < LEAST)


if __name__ == "__main__":
    main()
