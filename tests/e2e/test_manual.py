"""The examples of the manual, run as a reader runs them: another process, a key, addresses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import client_python
from tests.e2e.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("manual")]
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "manual" / "examples"
NAME = "dhan"
Run = subprocess.CompletedProcess[str]
CLIENT = "with_sdk.py"
SAYS = {
    "with_sdk.py": ("is open", "'status': 'success'", "SBIN "),
    "send_alert.py": ("Order queued successfully for SBIN", "'repeated': True"),
    "watch_websocket.py": ("auth success", "SBIN ", "volume"),
    "watch_zeromq.py": ("NSE_SBIN_QUOTE ", "volume"),
    "ask_quotes.py": (" stream ",),
}


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("home"))
    fleet.init(NAME)
    try:
        fleet.ok("up", NAME, "--sim", "-d")
        yield fleet
    finally:
        fleet.destroy()


@pytest.fixture(scope="module")
def surroundings(instance: Fleet) -> dict[str, str]:
    ports = instance.ports[NAME]
    hook = ("strategy", "create", NAME, "trend", "--mode", "LONG", "--symbol", "NSE:SBIN:1:MIS", "--quiet")
    return {
        "ALGO_KEY": instance.key(NAME),
        "ALGO_WEB": instance.url(NAME),
        "ALGO_WS": f"ws://127.0.0.1:{ports['WEBSOCKET_PORT']}",
        "ALGO_ZMQ": f"tcp://127.0.0.1:{ports['ZMQ_PORT']}",
        "ALGO_HOOK": f"{instance.url(NAME)}/strategy/webhook/{instance.ok(*hook).strip()}",
    }


@pytest.fixture(scope="module")
def runs(surroundings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """All of them beside each other: most of their time is waiting for ticks."""
    folder = tmp_path_factory.mktemp("reader")

    def run(name: str) -> Run:
        python = client_python("openalgo") if name == CLIENT else Path(sys.executable)
        paths = {} if name == CLIENT else {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [python, FOLDER / name],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            env=surroundings | paths,
        )

    with ThreadPoolExecutor(len(SAYS)) as pool:
        return dict(zip(SAYS, pool.map(run, SAYS), strict=True))


@pytest.mark.parametrize("name", SAYS)
def test_it_does_what_the_page_says(name, runs):
    done = runs[name]
    assert done.returncode == 0, done.stdout + done.stderr
    for words in SAYS[name]:
        assert words in done.stdout, done.stdout


def test_every_example_is_run_and_shown():
    there = {path.name for path in FOLDER.iterdir() if path.suffix == ".py"}
    assert there == set(SAYS)
    pages = "".join(path.read_text(encoding="utf-8") for path in (FOLDER.parent / "strategies").glob("*.md"))
    assert {name for name in there if f"--8<--\nexamples/{name}\n--8<--" in pages} == there
