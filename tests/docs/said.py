"""Every text the program can say, as patterns: what is put in at run time reads ``…``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("brokers", "gateway", "supervisor", "historify")


def texts() -> list[str]:
    return [text for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") for text in _of(path)]


def _of(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if id(node) in prose:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.replace("%s", "…").replace("{instance}", "…")


def says(line: str, known: list[str]) -> bool:
    """Whether some text holds this line; a ``…`` of the line may stand for any words."""
    parts = [part for part in line.split("…") if part.strip()]
    return any(_in_order(parts, text) for text in known)


def _in_order(parts: list[str], text: str) -> bool:
    at = 0
    for part in parts:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True
