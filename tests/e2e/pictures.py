"""Takes a picture of every page; run by ``scripts/pictures``, not part of the suite.

One light picture at 1440 px from the one instance and a dark one at phone width from the other, each cut to
the height of a screen, over a scene with names that mean something (``showroom``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e import fleetpage
from tests.e2e.browser import Complaints, enter, open_page
from tests.e2e.fleet import Fleet, until
from tests.e2e.shots import FLEET_PAGES, INSTANCE_PAGES, SIZES, name_of, packed
from tests.e2e.showroom import Desk, furnish, store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
STRIKE = "scalping?underlying=NIFTY&strike=ATM&type=CE"


class Album:
    """Where the pictures go, as indexed PNGs."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._folder = folder
        self._packer = browser.new_page()

    def take(self, page: Page, title: str, width: int, scheme: str) -> None:
        page.wait_for_timeout(400)  # what fades has faded
        size = page.viewport_size or {}
        page.evaluate("window.scrollTo(0, 0)")
        shot = page.screenshot(clip={"x": 0, "y": 0, "width": width, "height": size["height"]})
        (self._folder / name_of(title, width, scheme)).write_bytes(packed(self._packer, shot))


def looked_at(browser: Browser, width: int, height: int, scheme: Any, **more: Any) -> BrowserContext:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
    context.set_default_timeout(30_000)
    return context


def ready(page: Page, url: str, title: str) -> None:
    """Opens a page and brings it to what its picture shows."""
    path = {"dashboard": "", "scalping": STRIKE, "option-chain": "option-chain?underlying=NIFTY"}.get(
        title, title
    )
    if title == "downloads":
        path = "market-data#downloads"
    page.goto("about:blank")  # another tab of the same page would not be loaded anew
    open_page(page, url, path)
    if title == "watch":
        page.locator("#watch tr", has_text="SBIN").get_by_text("Depth").click()
        until(lambda: "–" not in page.locator("#ladder tbody tr td.up").first.inner_text(), 15, "a bid")
        until(lambda: "–" not in page.locator("#watch td.main").all_inner_texts(), 15, "every price")
    elif title == "market-data":
        page.locator("#series tr", has_text="RELIANCE").filter(has_text="D").last.get_by_text("Show").click()
        page.locator(".stored-chart canvas").first.wait_for()
    elif title == "strategies":
        page.locator("#strategies tr", has_text="opening range").get_by_role("button", name="Open").click()
        page.locator("#webhook").wait_for()
    elif title == "option-chain":
        page.locator("#chain tr.atm").wait_for()
    elif title == "scalping":
        page.locator("#last", has_text=".").wait_for()
        page.locator(".over").wait_for(state="detached")
    elif title == "playground":
        page.wait_for_timeout(500)


def test_every_page(browser: Browser, page_fleet: Fleet, codes: dict[str, str], pictures: Path) -> None:
    album, complaints = Album(browser, pictures), Complaints()
    states: dict[str, Any] = {}
    for name, width, height, scheme in SIZES:
        context = looked_at(browser, width, height, scheme)
        page = context.new_page()
        page.goto(f"{page_fleet.url(name)}/")
        album.take(page, "setup", width, scheme)
        enter(page, page_fleet.url(name), codes[name])
        states[name] = context.storage_state()
        signed_out = looked_at(browser, width, height, scheme).new_page()
        signed_out.goto(f"{page_fleet.url(name)}/")
        album.take(signed_out, "sign-in", width, scheme)
        desk = Desk(page_fleet, name, page, page_fleet.key(name))
        furnish(desk)
        if name == SIZES[0][0]:
            store(desk)
    page_fleet.ok("compare")
    page_fleet.ok("compare", "--ticks", "--seconds", "20")
    for name, width, height, scheme in SIZES:
        context = looked_at(browser, width, height, scheme, storage_state=states[name])
        complaints.watch(context)
        page = context.new_page()
        for title in INSTANCE_PAGES:
            ready(page, page_fleet.url(name), title)
            album.take(page, title, width, scheme)
    assert complaints.seen == []


def test_every_page_of_the_fleet(browser: Browser, page_fleet: Fleet, pictures: Path) -> None:
    album, complaints = Album(browser, pictures), Complaints()
    code = (page_fleet.home / "db" / "sim" / "run" / "console.code").read_text().strip()
    for _, width, height, scheme in SIZES:
        context = looked_at(browser, width, height, scheme)
        complaints.watch(context)
        page = context.new_page()
        fleetpage.enter(page, page_fleet, code)
        for title in FLEET_PAGES:
            page.goto(f"{fleetpage.url_of(page_fleet)}/{title.removeprefix('fleet-').removeprefix('page')}")
            page.wait_for_selector("#link.good")
            expect(page.locator("main .card").first).to_be_visible()
            album.take(page, title, width, scheme)
    assert complaints.seen == []
