"""Looks for credentials in everything git would commit: python scripts/scan_secrets.py [--accept]

detect-secrets finds candidates; those in ``scripts/secrets.json`` (file -> SHA-1 of the text, never the text)
were read by somebody and are none: invented passwords of tests, hex frames, alphabets. ``--accept`` writes
that file anew after you have read what is listed. Unlike the tool's own baseline it holds no line numbers, so
that an edit above an accepted line changes nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = ROOT / "scripts" / "secrets.json"
SKIPPED = ("scripts/locks/", "scripts/secrets.json", "/vendor/")
BINARY = (".png", ".gif", ".ico", ".parquet", ".duckdb", ".zst")


def files(root: Path) -> list[str]:
    """What is tracked or would be added, relative to ``root``."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    return [name for name in names if name and (root / name).is_file() and not _skipped(name)]


def _skipped(name: str) -> bool:
    return name.endswith(BINARY) or any(part in name for part in SKIPPED)


def candidates(root: Path, names: list[str]) -> dict[str, dict[str, str]]:
    """By file: SHA-1 of each candidate, and where and what it looks like."""
    found = SecretsCollection(root=str(root))
    with default_settings():
        found.scan_files(*names, num_processors=2)
    listed: dict[str, dict[str, str]] = {}
    for name, secret in found:
        listed.setdefault(name, {})[secret.secret_hash] = f"{name}:{secret.line_number}: {secret.type}"
    return listed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accept", action="store_true", help="what is found has been read and is none")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout")
    args = parser.parse_args()
    found = candidates(args.root, files(args.root))
    if args.accept:
        hashes = {name: sorted(rows) for name, rows in sorted(found.items())}
        ACCEPTED.write_text(json.dumps(hashes, indent=1) + "\n", "utf-8")
        print(f"{sum(map(len, found.values()))} accepted in {len(found)} files")
        return 0
    accepted = json.loads(ACCEPTED.read_text("utf-8"))
    new = [
        where
        for name, rows in sorted(found.items())
        for digest, where in sorted(rows.items())
        if digest not in accepted.get(name, [])
    ]
    for where in new:
        print(where, file=sys.stderr)
    if new:
        print(
            "these look like credentials: take them out, or read each and say --accept",
            file=sys.stderr,
        )
    return 1 if new else 0


if __name__ == "__main__":
    raise SystemExit(main())
