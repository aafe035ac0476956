"""The four walks of DESIGN.md name files and functions that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r"`(?P<file>[\w/<>]+\.py)(?:: (?P<names>[^`]+))?`")
LOOSE = re.compile(r"(?<![\w/])(?P<file>[a-z_/]+\.py)")


def walks() -> str:
    text = (ROOT / "DESIGN.md").read_text("utf-8")
    return text.partition("## Four walks")[2].partition("\n## ")[0]


def sources() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split() if not name.startswith(("tests/", "scripts/"))]


def test_every_file_of_a_walk_exists() -> None:
    files = sources()
    named = {found["file"].replace("<name>", "dhan") for found in PLACE.finditer(walks())}
    assert len(named) > 40
    assert [name for name in sorted(named) if not any(str(path).endswith("/" + name) for path in files)] == []


def test_every_function_of_a_walk_stands_in_its_file() -> None:
    files = sources()
    missing = []
    for found in PLACE.finditer(walks()):
        if not found["names"]:
            continue
        name = found["file"].replace("<name>", "dhan")
        texts = [path.read_text("utf-8") for path in files if str(path).endswith("/" + name)]
        for function in re.findall(r"[A-Za-z_]\w*", found["names"].partition(" ")[0].replace(",", "")):
            if not any(re.search(rf"\b(def|class) {function}\b|^{function} =", text, re.M) for text in texts):
                missing.append(f"{name}: {function}")
    assert missing == []
