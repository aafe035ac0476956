"""``scripts/new_broker.py`` writes a folder that is a broker at once, and answers nothing wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "new_broker.py"


def run(*argv: str | Path, tree: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *map(str, argv)], cwd=tree, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The floor alone, a broker written into it, and one that was filled in (``third/``)."""
    tree = tmp_path_factory.mktemp("tree")
    left_out = shutil.ignore_patterns("dhan", "kotak", "sim", "__pycache__")
    shutil.copytree(ROOT / "brokers", tree / "brokers", ignore=left_out)
    filled = Path(__file__).parent / "third" / "zenith"
    shutil.copytree(filled, tree / "brokers" / "zenith", ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", tree)
    shutil.copy(Path(__file__).with_name("test_shape.py"), tree / "test_shape.py")
    made = run(SCRIPT, "acme", "--title", "Acme Direct", "--into", tree, tree=tree)
    assert made.returncode == 0, made.stderr
    assert "To fill in" in made.stdout
    return tree


def test_it_passes_the_shape_checks(tree: Path) -> None:
    done = run("-m", "pytest", "test_shape.py", "-q", "-p", "no:cacheprovider", tree=tree)
    assert done.returncode == 0, done.stdout[-3000:]
    assert re.match(r"\.{18}\s", done.stdout), done.stdout


def test_it_is_clean_for_the_linter_and_the_type_checker(tree: Path) -> None:
    cache = ROOT / ".mypy_cache" / "new-broker"
    for argv in (
        ("-m", "ruff", "check", "brokers/acme", "tests"),
        ("-m", "ruff", "format", "--check", "brokers/acme", "tests"),
        ("-m", "mypy", "-p", "brokers.acme", "-p", "brokers.zenith", "--cache-dir", cache),
    ):
        done = run(*argv, tree=tree)
        assert done.returncode == 0, done.stdout + done.stderr


def test_no_place_is_answered_before_it_is_written(tree: Path) -> None:
    listed = run(SCRIPT, "other", "--into", tree / "second", tree=tree).stdout
    places = re.findall(r"^brokers/other/(\S+):\d+  (?!fill in)(.+)$", listed, re.MULTILINE)
    bodies = sum(
        len(re.findall(r"^    raise missing\(|^        raise missing\(", path.read_text(), re.MULTILINE))
        for path in (tree / "brokers" / "acme").rglob("*.py")
    )
    assert len(places) == bodies >= 20


def test_a_read_says_in_words_what_is_missing(tree: Path) -> None:
    code = (
        "from test_shape import context\n"
        "from brokers import registry\n"
        "from brokers.errors import NotSupported\n"
        "from datetime import UTC, date, datetime\n"
        "from brokers.contract import BrokerSession\n"
        "spec = registry.spec('acme')\n"
        "broker, known = registry.open_broker('acme'), context(spec)\n"
        "now = datetime.now(UTC)\n"
        "FILE = b'token,symbol\\n1,A\\n'\n"
        "rest = broker.rest(known, lambda: BrokerSession('acme', 'x', {}, {}, now, now))\n"
        "calls = [rest.orders, rest.trades, rest.positions, rest.holdings, rest.funds,\n"
        "         lambda: rest.find_tag('x'), lambda: rest.cancel('1'),\n"
        "         lambda: broker.instruments(known, None).parse({'f': FILE}, date(2026, 1, 1))]\n"
        "for call in calls:\n"
        "    try:\n"
        "        raise SystemExit(f'answered {call()}')\n"
        "    except NotSupported as exc:\n"
        "        assert 'is not written yet; fill in' in str(exc), exc\n"
    )
    done = run("-c", code, tree=tree)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("name", ["", "Acme", "9x", "a b", "../x", "acme"])
def test_a_name_that_cannot_be_a_folder_is_refused(tree: Path, name: str) -> None:
    done = run(SCRIPT, name, "--into", tree, tree=tree)
    assert done.returncode == 2
    assert done.stderr.strip()
