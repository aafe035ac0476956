"""What `scripts/licences` prints: every locked package of the product, and every vendored file of its pages.

The names come from the lock, versions and licences from the installed packages' own metadata (pip-licenses)
and from the manifest of vendored files. Packages for another system than this one are in the lock and not
installed here: they are named with the system they are for.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "scripts" / "locks" / "app.txt"
VENDORED = ROOT / "gateway" / "web" / "static" / "vendor" / "manifest.json"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;]+)\s*(;\s*(?P<marker>[^\\]+))?")
HEAD = """# Licences

Made by `scripts/licences`; a test fails when it lags behind the lock. `algo` itself: Apache-2.0.

## Python packages

Of `scripts/locks/app.txt`. `psycopg` (LGPL-3.0) comes only with the extra `postgres`, as its own library.

| package | version | licence |
|---|---|---|
"""
ASSETS = """
## In the pages

Copied into the repository by `scripts/vendor_assets`, each with its licence file beside it.

| package | version | licence |
|---|---|---|
"""


def pins() -> list[tuple[str, str, str]]:
    """Name, version and marker of each line of the lock."""
    found = (PIN.match(line) for line in LOCK.read_text("utf-8").splitlines())
    return [(m["name"], m["version"], (m["marker"] or "").strip()) for m in found if m]


def licences() -> dict[str, str]:
    """Licence by normalised name of what is installed here."""
    command = [sys.executable, "-m", "piplicenses", "--from=mixed", "--format=json", "--with-system"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {_plain(row["Name"]): row["License"] for row in rows}


def page() -> str:
    """The whole file."""
    known = licences()
    text = HEAD
    for name, version, marker in pins():
        licence = known.get(_plain(name), f"not installed here ({marker})" if marker else "unknown")
        text += f"| {name} | {version} | {licence} |\n"
    text += ASSETS
    packages = {
        (row["package"], row["version"], row["licence"]) for row in json.loads(VENDORED.read_text("utf-8"))
    }
    for package, version, licence in sorted(packages):
        text += f"| {package} | {version} | {licence} |\n"
    return text


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print(page(), end="")
