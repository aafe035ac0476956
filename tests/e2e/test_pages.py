"""The pages in a real browser: first sign-in, live numbers, two instances at once, and a hostile tab."""

from __future__ import annotations

import json
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
from playwright.sync_api import Browser, Page, expect

from brokers.model import Venue
from gateway import settings as gateway_settings
from tests.e2e.browser import OWNER, Complaints, enter, live, opened, sign_in
from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("pages")]
SYMBOLS = "SYMBOLS=NSE:SBIN,NSE:RELIANCE,NSE:TCS\n"
HOSTILE = Path(__file__).with_name("hostile.html")
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as one:
        yield one


@pytest.fixture(scope="module")
def codes(browser: Browser, fleet: Fleet) -> dict[str, str]:
    """The one-time codes as `algo up` prints them again."""
    said = fleet.ok("up", "kotak", "dhan", "--sim", "-d")
    return {
        name: re.findall(rf"{fleet.url(name)} with the one-time code (\S+)", said)[0]
        for name in ("kotak", "dhan")
    }


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    one = Fleet(tmp_path_factory.mktemp("home"))
    one.init("kotak", "dhan")
    for name in ("kotak", "dhan"):
        path = one.home / "instances" / f"{name}.env"
        path.write_text(path.read_text() + SYMBOLS)
    try:
        one.ok("up", "kotak", "dhan", "--sim", "-d")
        yield one
    finally:
        one.destroy()


def place(fleet: Fleet, name: str) -> str:
    """An order of a strategy whose name is an attack."""
    body = {
        "apikey": fleet.key(name),
        "strategy": SCRIPT,
        "exchange": "NSE",
        "symbol": "SBIN",
        "action": "BUY",
        "pricetype": "MARKET",
        "product": "MIS",
        "quantity": "3",
    }
    request = urllib.request.Request(
        f"{fleet.url(name)}/api/v1/placeorder",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["orderid"])


SIZES = [("kotak", "Kotak Neo", 1440, "light"), ("dhan", "Dhan", 390, "dark")]


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
    assert sockets == [f"{fleet.url(name).replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket"]
    assert page.inner_text("#session-state") == "logged in"
    assert page.inner_text("#session-account") not in ("", "–", "…")
    assert page.inner_text("#session-expires").endswith("IST")
    expect(page.locator("#feed-state")).to_have_text("live")
    assert re.fullmatch(r"[\d,]+\.\d\d", page.inner_text("#funds-free"))
    ticks_move(page)

    order_id = place(fleet, name)
    row = page.locator("#orders tr", has_text=order_id)
    row.get_by_text(SCRIPT).wait_for()
    page.locator("#positions tr", has_text="SBIN").wait_for()
    boxes = "[document.documentElement, ...document.querySelectorAll('.card')]"
    assert page.evaluate(f"{boxes}.every(b => b.scrollWidth <= b.clientWidth)"), "something scrolls sideways"
    digits = "getComputedStyle(document.querySelector('td.number')).fontVariantNumeric"
    assert page.evaluate(digits) == "tabular-nums"

    page.click("text=Sign out")
    page.wait_for_url("**/sign-in")
    page.go_back()
    page.wait_for_url("**/sign-in")
    sign_in(page, fleet.url(name))
    assert complaints.seen == []
    context.close()


def ticks_move(page: Page) -> None:
    prices = page.locator("#ticks td.main")
    until(lambda: prices.count() == 3, 10, "three symbols have a price")
    before = prices.all_inner_texts()
    until(lambda: prices.all_inner_texts() != before, 10, "a price changes")


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


def test_old_numbers_look_old(browser: Browser, fleet: Fleet, codes: dict[str, str]) -> None:
    context = browser.new_context()
    page = context.new_page()
    enter(page, fleet.url("dhan"), codes["dhan"])
    stale = page.evaluate(
        "newest.serverMs += 34000, showAges(), "
        "[document.querySelectorAll('#ticks tr.stale').length, document.querySelector('td.age').textContent]"
    )
    assert stale[0] == 3
    assert stale[1] in ("34 s", "35 s")

    psutil.Process(fleet.instance("dhan")["pids"]["api"]).kill()
    page.locator("#offline").wait_for()
    assert "No connection to dhan" in page.inner_text("#offline")
    live(page)
    assert page.locator("#offline").is_hidden()
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
        key = secrets[f"API key {name}"] = fleet.key(name)
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
