from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.e2e.browser import enter, opened
from tests.e2e.fleet import Fleet
from tests.midnight import not_over_midnight

RUN_S = 100.0
"""Usual length of a module of end-to-end tests."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Kotak and Dhan, simulated, up and ready; shared by the tests of a module."""
    not_over_midnight(RUN_S)
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init("kotak", "dhan")
    try:
        one.ok("up", "kotak", "dhan", "--sim", "-d")
        yield one
    finally:
        one.destroy()


# -- one browser and two instances for every module of page tests (all in the xdist group "pages")

PAGE_LINES = """SYMBOLS=NSE:SBIN,NSE:RELIANCE,NSE:TCS
LOGIN_RATE_LIMIT_MIN=600 per minute
LOGIN_RATE_LIMIT_HOUR=6000 per hour
"""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with opened() as one:
        yield one


@pytest.fixture(scope="package")
def page_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Kotak and Dhan for people: three symbols streamed, signing in as often as tests do."""
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init("kotak", "dhan")
    for name in ("kotak", "dhan"):
        path = one.home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + PAGE_LINES)
    try:
        one.ok("up", "kotak", "dhan", "--sim", "-d")
        yield one
    finally:
        one.destroy()


@pytest.fixture(scope="package")
def codes(browser: Browser, page_fleet: Fleet) -> dict[str, str]:
    """The one-time codes as `algo up` prints them again."""
    said = page_fleet.ok("up", "kotak", "dhan", "--sim", "-d")
    return {
        name: re.findall(rf"{page_fleet.url(name)} with the one-time code (\S+)", said)[0]
        for name in ("kotak", "dhan")
    }


@pytest.fixture(scope="package")
def cookies(browser: Browser, page_fleet: Fleet, codes: dict[str, str]) -> dict[str, Any]:
    """Of one sign-in to each instance, for the tests that are about something else."""
    found = {}
    for name in ("kotak", "dhan"):
        context = browser.new_context()
        enter(context.new_page(), page_fleet.url(name), codes[name])
        found[name] = context.storage_state()
        context.close()
    return found


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pages as they looked are put; ``scripts/pictures`` takes them from there."""
    return tmp_path_factory.mktemp("pages")
