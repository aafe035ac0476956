"""The pages in a real browser: first sign-in, live numbers, two instances at once, and a hostile tab."""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser, expect

from brokers.model import Venue
from gateway import settings as gateway_settings
from tests.e2e.browser import OWNER, Complaints, enter, live, open_page, serious, sign_in
from tests.e2e.desk import SCRIPT, key_of, place
from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("pages")]
HOSTILE = Path(__file__).with_name("hostile.html")


@pytest.fixture(scope="module")
def fleet(page_fleet: Fleet) -> Fleet:
    return page_fleet


SIZES = [("kotak", "Kotak Neo", 1440, "light"), ("dhan", "Dhan", 390, "dark")]
PAGES = (
    "",
    "orders",
    "trades",
    "positions",
    "holdings",
    "watch",
    "latency",
    "comparison",
    "market-data",
    "strategies",
    "traffic",
    "playground",
    "settings",
    "start",
)


@pytest.mark.parametrize(("name", "title", "width", "scheme"), SIZES)
def test_from_the_one_time_code_to_live_numbers_and_out(
    browser: Browser, fleet: Fleet, codes: dict[str, str], name: str, title: str, width: int, scheme: Any
) -> None:
    complaints = Complaints()
    context = browser.new_context(viewport={"width": width, "height": 850}, color_scheme=scheme)
    complaints.watch(context)
    page = context.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))

    enter(page, fleet.url(name), codes[name])
    header = page.inner_text("header")
    assert name in header
    assert title in header
    assert "Simulated" in header
    expect(page.locator("#session .state")).to_have_text("logged in")
    expect(page.locator("#feed .state")).to_have_text("live")
    expect(page.locator("#session dd").last).not_to_have_text("–")
    expect(page.locator("#funds dd.big")).to_have_text(re.compile(r"[\d,]+\.\d\d"))

    order_id = place(fleet, name)
    page.locator("#positions tr", has_text="SBIN").wait_for()
    digits = "getComputedStyle(document.querySelector('td.number')).fontVariantNumeric"
    assert page.evaluate(digits) == "tabular-nums"
    page.click("nav >> text=Orders")
    row = page.locator("#orders tr", has_text=order_id)
    row.get_by_text(SCRIPT).wait_for()
    page.click("text=Trades")
    page.locator("#trades tr", has_text=order_id).wait_for()

    feed = f"ws://127.0.0.1:{fleet.ports[name]['WEBSOCKET_PORT']}/"
    assert feed in sockets
    assert not any("ticket" in url or "key" in url for url in sockets), "a secret in an address"
    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    page.go_back()
    page.wait_for_url("**/sign-in")
    sign_in(page, fleet.url(name))
    open_page(page, fleet.url(name), "settings")
    page.get_by_role("button", name=f"Log in to {title}").click()
    page.locator(".notice.good", has_text="Logged in").wait_for()
    assert complaints.seen == []
    context.close()


@pytest.mark.parametrize(("name", "title", "width", "scheme"), SIZES)
def test_every_page_is_drawn_and_nobody_is_kept_out(
    browser: Browser,
    fleet: Fleet,
    cookies: dict[str, Any],
    name: str,
    title: str,
    width: int,
    scheme: Any,
) -> None:
    complaints = Complaints()
    context = browser.new_context(
        storage_state=cookies[name], viewport={"width": width, "height": 850}, color_scheme=scheme
    )
    complaints.watch(context)
    page = context.new_page()
    place(fleet, name)
    problems = {}
    for path in PAGES:
        open_page(page, fleet.url(name), path)
        assert title in page.inner_text("header"), path
        wide = "[document.documentElement, ...document.querySelectorAll('.card')]"
        assert page.evaluate(f"{wide}.every(b => b.scrollWidth <= b.clientWidth)"), f"{path} scrolls sideways"
        assert complaints.seen == [], path
        problems[path] = serious(page)
        complaints.seen.clear()  # what axe itself does is not the page's doing
    assert not any(problems.values()), problems
    context.close()


def test_the_sandbox_frames_every_page(browser: Browser, fleet: Fleet, cookies: dict[str, Any]) -> None:
    context = browser.new_context(storage_state=cookies["kotak"])
    page, other = context.new_page(), context.new_page()
    url = fleet.url("kotak")
    open_page(page, url, "")
    open_page(other, url, "orders")
    framed = "getComputedStyle(document.getElementById('paper-frame')).display"
    assert page.evaluate(framed) == "none"
    open_page(page, url, "settings")
    page.click("text=Switch to the sandbox")
    page.get_by_text("Orders go to the sandbox from now on").wait_for()
    assert page.evaluate(framed) == "block"
    other.locator("#paper-badge").wait_for()
    assert other.evaluate(framed) == "block"
    page.click("text=Go live")
    page.click("dialog >> text=Go live")
    page.get_by_text("Orders go to the broker from now on").wait_for()
    assert page.evaluate(framed) == "none"
    context.close()


def test_pages_say_what_they_know_without_a_script(
    browser: Browser, fleet: Fleet, codes: dict[str, str]
) -> None:
    first = browser.new_context()
    enter(first.new_page(), fleet.url("dhan"), codes["dhan"])
    first.close()
    order_id = place(fleet, "dhan")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(fleet.url("dhan"))
    page.fill("[name=username]", OWNER[0])
    page.fill("[name=password]", OWNER[1])
    page.click("main button[type=submit]")
    assert "10,00" in page.inner_text("main") or "availablecash" in page.inner_text("main")
    page.goto(f"{fleet.url('dhan')}/orders")
    assert "SBIN" in page.inner_text("main"), order_id
    page.goto(f"{fleet.url('dhan')}/settings")
    page.fill("[name=label]", "no script")
    page.click("text=Make an API key")
    assert re.fullmatch(r"[0-9a-f]{64}", page.inner_text("#new-key"))
    page.click("header >> text=Sign out")
    assert page.url.endswith("/sign-in")
    context.close()


def test_two_instances_in_one_browser_know_their_own_sign_out(
    browser: Browser, fleet: Fleet, codes: dict[str, str]
) -> None:
    context = browser.new_context()
    kotak, dhan, second = context.new_page(), context.new_page(), context.new_page()
    enter(kotak, fleet.url("kotak"), codes["kotak"])
    enter(dhan, fleet.url("dhan"), codes["dhan"])
    kotak.reload()
    live(kotak)
    colour = "getComputedStyle(document.querySelector('.instance')).backgroundColor"
    colours = {page.evaluate(colour) for page in (kotak, dhan)}
    assert len(colours) == 2
    second.goto(fleet.url("kotak"))
    live(second)

    kotak.click("text=Sign out")
    kotak.wait_for_url("**/sign-in")
    second.wait_for_url("**/sign-in")
    dhan.reload()
    live(dhan)
    context.close()


def test_old_numbers_look_old(browser: Browser, fleet: Fleet, cookies: dict[str, Any]) -> None:
    context = browser.new_context(storage_state=cookies["dhan"])
    page = context.new_page()
    open_page(page, fleet.url("dhan"), "")
    page.wait_for_selector("#funds small.age:not(.bad)")
    psutil.Process(fleet.instance("dhan")["pids"]["api"]).kill()
    page.locator("#offline").wait_for()
    assert "No connection to dhan" in page.inner_text("#offline")
    live(page)
    expect(page.locator("#offline")).to_be_hidden()
    context.close()


@pytest.fixture
def hostile() -> Iterator[str]:
    """A page on another port of 127.0.0.1: the same site, so the browser sends our cookies along."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(HOSTILE.read_bytes())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_hostile_tab_reads_nothing_and_signs_nobody_out(
    browser: Browser, fleet: Fleet, codes: dict[str, str], hostile: str
) -> None:
    context = browser.new_context()
    mine, theirs = context.new_page(), context.new_page()
    url = fleet.url("kotak")
    enter(mine, url, codes["kotak"])
    theirs.goto(hostile)
    places = {"web": url, "feed": f"http://127.0.0.1:{fleet.ports['kotak']['WEBSOCKET_PORT']}"}
    for attack in theirs.evaluate("Object.keys(attacks)"):
        assert theirs.evaluate("([name, where]) => attacks[name](where)", [attack, places]) == [], attack
    theirs.evaluate("places => void guess(places)", places)
    theirs.evaluate("signOut", places)
    theirs.get_by_text("This form was out of date").wait_for()
    mine.reload()
    live(mine)
    mine.click("text=Sign out")
    mine.wait_for_url("**/sign-in")
    sign_in(mine, url)
    context.close()


def test_no_log_line_holds_a_secret(fleet: Fleet, codes: dict[str, str]) -> None:
    """After everything above, and after keys sent to where they do not belong."""
    secrets: dict[str, str] = {"password": OWNER[1], **{f"code {n}": code for n, code in codes.items()}}
    for name in ("kotak", "dhan"):
        settings = gateway_settings.load(fleet.home, name, Venue.SIM)
        key = secrets[f"API key {name}"] = key_of(fleet, name)
        secrets |= {
            f"{name} {s}": v.reveal() for s, v in settings.credentials.items() if not public(settings, s)
        }
        secrets |= {f"{name} APP_KEY": settings.app_key.reveal(), f"{name} pepper": settings.pepper.reveal()}
        secrets |= {f"{name} internal key": settings.internal_key.reveal()}
        for path in (f"/api/v1/{key}", f"/chartink/webhook/{key}", f"/api/v1/ping?apikey={key}"):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(f"{fleet.url(name)}{path}", timeout=10)
        feed = f"http://127.0.0.1:{fleet.ports[name]['WEBSOCKET_PORT']}/ws?k={key}"
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(
                urllib.request.Request(feed, headers={"Origin": "http://evil"}), timeout=10
            )
    logs = fleet.home / "db" / "sim" / "log"
    for name in ("kotak", "dhan"):  # logs are written a moment later
        until(
            lambda name=name: "refused /ws" in (logs / f"{name}.feed.log").read_text(), 10, "the feed's line"
        )
        until(lambda name=name: "webhook/***" in (logs / f"{name}.api.log").read_text(), 10, "the api's line")
    lines = {path.name: path.read_text() for path in logs.glob("*.log")}
    found = [(log, what) for log, text in lines.items() for what, secret in secrets.items() if secret in text]
    assert found == []
    assert not re.search(r"eyJ\w{10}|session_\w+=|csrf_token\W+\w{8}", "".join(lines.values()))


def public(settings: gateway_settings.Settings, name: str) -> bool:
    """A client id is no secret and helps a reader of the log."""
    return any(c.env == name and not c.secret for c in settings.spec.credentials)
