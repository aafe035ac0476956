"""The fleet page in a real browser, over the instances of the other page tests. After ``test_pages``: an
instance without an owner would print another code once it is restarted here."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, StorageState, expect

from gateway.panicfile import NAME, PanicFile
from tests.e2e import fleetpage
from tests.e2e.browser import Complaints, serious
from tests.e2e.fleet import Fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("pages")]
PAGES = ("", "orders", "positions", "comparison", "logs", "panic")
CODE = r"with the one-time code (\S+)"


@pytest.fixture(scope="module")
def owner(browser: Browser, page_fleet: Fleet) -> StorageState:
    """Signed up with the code `algo up` prints beside the page's address, and the cookies of that."""
    url = fleetpage.url_of(page_fleet)
    said = page_fleet.ok("up", "kotak", "dhan", "--sim", "-d")
    assert f"all instances on one page: {url}\n" in said
    [code] = re.findall(rf"{url} {CODE}", said)
    kept = page_fleet.home / "db" / "sim" / "run" / "console.code"
    assert kept.read_text().strip() == code
    context = browser.new_context()
    complaints = Complaints()
    complaints.watch(context)
    fleetpage.enter(context.new_page(), page_fleet, code)
    assert not kept.exists(), "spent, and still told"
    state = context.storage_state()
    assert complaints.seen == []
    context.close()
    return state


def test_a_day_with_the_fleet(browser: Browser, page_fleet: Fleet, owner: StorageState) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=owner, viewport={"width": 1440, "height": 900})
    complaints.watch(context)
    page = context.new_page()
    page.goto(fleetpage.url_of(page_fleet))
    for name in fleetpage.NAMES:
        one = fleetpage.card(page, name)
        expect(one.locator(".state")).to_have_text("ready")
        expect(one.locator("[data-fact=session]")).to_have_text("valid")
        expect(one.locator("[data-fact=tick]")).to_have_text(re.compile(r"^\d\.\d s ago$"))
    expect(page.locator("[data-service=historify] .state")).to_have_text("ready")
    page.fill("[name=underlying]", "NIFTY")
    page.fill("[name=strike]", "24000")
    links = page.locator("#contract .links a")
    assert [link.get_attribute("href") for link in links.all()] == [
        f"{page_fleet.url(name)}/scalping?underlying=NIFTY&strike=24000" for name in fleetpage.NAMES
    ]
    keys = {name: page_fleet.key(name) for name in fleetpage.NAMES}
    fleetpage.panic_and_resume(page, page_fleet, keys)
    fleetpage.combined(page, page_fleet, keys)
    page.click("nav >> text=Logs")
    lines = page.locator(".log-lines")
    expect(lines).to_contain_text("panic")
    page.fill("[type=search]", "no line has this")
    expect(lines).to_contain_text("No such line.")
    page.click("nav >> text=Fleet")
    fleetpage.restart(page, "dhan")
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    assert complaints.seen == []
    context.close()


@pytest.fixture(scope="module")
def again(browser: Browser, page_fleet: Fleet, owner: StorageState) -> StorageState:
    """Signed in once more, for what looks after the walk has signed out."""
    context = browser.new_context()
    fleetpage.enter(context.new_page(), page_fleet, None)
    state = context.storage_state()
    context.close()
    return state


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_it_is_drawn_and_nobody_is_kept_out(
    browser: Browser, page_fleet: Fleet, again: StorageState, width: int, scheme: Any
) -> None:
    complaints = Complaints()
    size: Any = {"width": width, "height": 850}
    context = browser.new_context(storage_state=again, viewport=size, color_scheme=scheme)
    complaints.watch(context)
    page = context.new_page()
    problems = {}
    for path in PAGES:
        page.goto(f"{fleetpage.url_of(page_fleet)}/{path}")
        page.wait_for_selector("#link.good")
        wide = "[document.documentElement, ...document.querySelectorAll('.card')]"
        assert page.evaluate(f"{wide}.every(b => b.scrollWidth <= b.clientWidth)"), f"{path} scrolls sideways"
        # our classes live beside those of the instances' style.css
        places = "[...document.querySelectorAll('.card > *')].map(one => getComputedStyle(one).position)"
        assert set(page.evaluate(places)) == {"static"}, f"{path}: something lies over the page"
        assert complaints.seen == [], path
        problems[path] = serious(page)
        complaints.seen.clear()  # what axe itself does is not the page's doing
    assert not any(problems.values()), problems
    context.close()


def test_panic_needs_no_script(browser: Browser, page_fleet: Fleet, again: StorageState) -> None:
    file = PanicFile(page_fleet.home / "db" / "sim" / "run" / NAME)
    context = browser.new_context(storage_state=again, java_script_enabled=False)
    page = context.new_page()
    page.goto(fleetpage.url_of(page_fleet))
    assert "ready" in page.locator(".hue-0").inner_text()
    page.click("nav >> text=Panic")
    for button, active in (("Panic", True), ("Resume", False)):
        page.locator("form", has=page.get_by_role("button", name=button)).locator("[name=sure]").check()
        page.get_by_role("button", name=button).click()
        for name in fleetpage.NAMES:
            page.locator(".notice.good", has_text=f"{name}: entries").wait_for()
        word = file.read()
        assert word is not None
        assert word.active is active
    context.close()


@pytest.fixture
def hostile() -> Iterator[str]:
    """The next tab: another port of 127.0.0.1, so the browser sends our cookies along."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(Path(__file__).parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.func.log_message = lambda *words: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hostile.html"
    server.shutdown()
    server.server_close()


def test_the_next_tab_can_do_nothing(
    browser: Browser, page_fleet: Fleet, again: StorageState, hostile: str
) -> None:
    url = fleetpage.url_of(page_fleet)
    context = browser.new_context(storage_state=again)
    mine, theirs = context.new_page(), context.new_page()
    mine.goto(url)
    theirs.goto(hostile)
    for attack in theirs.evaluate("Object.keys(attacks)"):
        both = {"web": url, "feed": url}
        assert theirs.evaluate("([name, where]) => attacks[name](where)", [attack, both]) == [], attack
    heard = theirs.evaluate(fleetpage.LISTEN, f"{url}/web/api/stream")
    assert heard == [], "another page reads the stream"
    for path in ("web/api/panic", "web/api/instances/dhan/stop", "panic", "sign-out"):
        theirs.evaluate(fleetpage.SEND, f"{url}/{path}")
    word = PanicFile(page_fleet.home / "db" / "sim" / "run" / NAME).read()
    assert word is None or not word.active
    assert {row["state"] for row in page_fleet.status()["instances"]} == {"ready"}
    mine.reload()
    mine.wait_for_selector("#link.good")
    assert fleetpage.rebound(page_fleet) == [403] * 4
    context.close()
