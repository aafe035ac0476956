"""Signs of a house in order that no linter counts, over the product's own code."""

from __future__ import annotations

import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("brokers", "gateway", "supervisor", "historify")
BROAD = {"Exception", "BaseException"}
MOST_BROAD_PER_1000 = 1.0
LONGEST_FUNCTION = 100
MEDIAN_FILE = 250


@dataclass(frozen=True)
class Source:
    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    def comments(self) -> set[int]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return {token.start[0] for token in tokens if token.type == tokenize.COMMENT}


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    texts = [(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")) for path in paths]
    return [Source(name, text, ast.parse(text)) for name, text in texts]


def named(node: ast.expr | None) -> set[str]:
    """What an ``except`` catches; a bare one everything."""
    if node is None:
        return {"BaseException"}
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return {ast.unparse(part).rpartition(".")[2] for part in parts}


def broad(source: Source) -> Iterator[tuple[int, bool]]:
    """Line of each catch of everything, and whether its reason has to stand in a comment beside it."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and named(node.type) & BROAD:
            yield node.lineno, True
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called == "survive":
                # what it says into the log is the reason
                yield node.lineno, False
            elif called == "suppress" and any(named(one) & BROAD for one in node.args):
                yield node.lineno, True


def test_catching_everything_is_rare_and_has_a_reason(sources: list[Source]) -> None:
    count, silent = 0, []
    for source in sources:
        found = list(broad(source))
        count += len(found)
        if any(needs for _, needs in found):
            said = source.comments()
            # above it, behind it, or above what it does
            silent += [
                f"{source.name}:{line}"
                for line, needs in found
                if needs and not {line - 1, line, line + 1} & said
            ]
    assert silent == []
    per_1000 = 1000 * count / sum(source.lines for source in sources)
    assert per_1000 <= MOST_BROAD_PER_1000, f"{count} catch everything, {per_1000:.2f} per 1,000 lines"


def test_functions_and_files_stay_small(sources: list[Source]) -> None:
    long = [
        f"{source.name}:{node.lineno} {node.name}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []
    assert statistics.median(source.lines for source in sources) < MEDIAN_FILE


def test_an_import_inside_a_function_says_why(sources: list[Source]) -> None:
    silent = [
        f"{source.name}:{node.lineno}"
        for source in sources
        for function in ast.walk(source.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not re.search(r"# noqa: PLC0415\W+\w+", source.text.splitlines()[node.lineno - 1])
    ]
    assert silent == []


def test_a_type_that_is_ignored_names_the_code(sources: list[Source]) -> None:
    bare = [
        f"{source.name}:{number}"
        for source in sources
        for number, line in enumerate(source.text.splitlines(), 1)
        if re.search(r"#\s*type:\s*ignore(?!\[[\w-]+(, ?[\w-]+)*\])", line)
    ]
    assert bare == []
