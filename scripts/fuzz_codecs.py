"""What ``scripts/fuzz_codecs`` runs: coverage-guided fuzzing of every feed codec with atheris.

Each codec is fuzzed in a process of its own, from the golden frames on, for a time or a number of runs. An
exception that is not the codec's own ends it with the frame written to a file.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import atheris  # noqa: E402

WATCHED = ["brokers.dhan.wire", "brokers.kotak.wire", "brokers.sim", "gateway"]
# only the processes that fuzz need to know which branches were taken
with atheris.instrument_imports(WATCHED) if "--codec" in sys.argv else contextlib.nullcontext():
    from tests.brokers.codecs import CODECS, Codec


def one(codec: Codec, arguments: list[str]) -> None:
    """Fuzz one codec; libFuzzer ends the process."""

    def run(data: bytes) -> None:
        try:
            codec.read(data)
        except codec.errors:
            return

    atheris.Setup([sys.argv[0], *arguments], run)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz_codecs", description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000, help="of each codec")
    parser.add_argument("--seconds", type=int, default=60, help="most time for each codec")
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--only", default="", help="codecs whose name contains this")
    parser.add_argument("--codec", default="", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    limits = [f"-runs={args.runs}", f"-max_total_time={args.seconds}", f"-seed={args.seed}", "-max_len=4096"]
    if args.codec:
        codec = next(c for c in CODECS if c.name == args.codec)
        one(codec, [*limits, f"-artifact_prefix={args.corpus}-crash-", "-print_final_stats=1", args.corpus])
    broken = []
    for codec in (c for c in CODECS if args.only in c.name):
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder) / "corpus"
            corpus.mkdir()
            for number, frame in enumerate(codec.seeds):
                (corpus / f"{number:04d}").write_bytes(frame)
            argv = [sys.executable, __file__, "--codec", codec.name, "--corpus", str(corpus)]
            argv += ["--runs", str(args.runs), "--seconds", str(args.seconds), "--seed", str(args.seed)]
            done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
            runs = next(
                (x.split()[-1] for x in done.stderr.splitlines() if "number_of_executed_units" in x), "?"
            )
            print(f"{codec.name:32} {runs:>9} runs  {'ok' if not done.returncode else 'BROKEN'}", flush=True)
            if done.returncode:
                broken.append(codec.name)
                keep = Path(tempfile.mkdtemp(prefix="fuzz-codecs-"))
                for crash in Path(folder).glob("corpus-crash-*"):
                    (keep / crash.name).write_bytes(crash.read_bytes())
                print("\n".join(done.stderr.splitlines()[-25:]))
                print(f"frames kept in {keep}")
    print(f"seed {args.seed}: {'broken: ' + ', '.join(broken) if broken else 'every codec held'}")
    return 1 if broken else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
