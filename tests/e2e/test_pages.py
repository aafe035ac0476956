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
from playwright.sync_api import Browser, expect

from brokers.model import Venue
from gateway import settings as gateway_settings
from tests.e2e.browser import OWNER, Complaints, enter, live, open_page, serious, sign_in
from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("pages")]
HOSTILE = Path(__file__).with_name("hostile.html")
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def fleet(page_fleet: Fleet) -> Fleet:
    return page_fleet


@pytest.fixture(scope="module")
def cookies(browser: Browser, fleet: Fleet, codes: dict[str, str]) -> dict[str, Any]:
    """Of one sign-in to each instance, for the tests that are about something else."""
    found = {}
    for name in ("kotak", "dhan"):
        context = browser.new_context()
        enter(context.new_page(), fleet.url(name), codes[name])
        found[name] = context.storage_state()
        context.close()
    return found


def last_price(fleet: Fleet, name: str) -> float:
    body = {"apikey": fleet.key(name), "exchange": "NSE", "symbol": "SBIN"}
    return float(asked(fleet, name, "quotes", body)["data"]["ltp"])


def place(fleet: Fleet, name: str, **changes: str) -> str:
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
        **changes,
    }
    return str(asked(fleet, name, "placeorder", body)["orderid"])


def asked(fleet: Fleet, name: str, path: str, body: dict[str, str]) -> Any:
    request = urllib.request.Request(
        f"{fleet.url(name)}/api/v1/{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


SIZES = [("kotak", "Kotak Neo", 1440, "light"), ("dhan", "Dhan", 390, "dark")]
BOOKS = ("orders", "trades", "positions", "holdings")
PAGES = (
    "",
    *BOOKS,
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
TALLEST = 1000
"""Of a picture, in pixels: what a newcomer needs to see, not all there is."""
JUDGED = {1440: PAGES[::2], 390: PAGES[1::2]}
"""Which pages axe-core looks at in which width: each in one, the other width has the same elements."""


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
    assert complaints.seen == []
    context.close()


def test_history_is_downloaded_drawn_and_taken_out(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any]
) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=cookies["dhan"])
    complaints.watch(context)
    page = context.new_page()
    open_page(page, fleet.url("dhan"), "market-data#downloads")
    page.fill("#new-job [role=combobox]", "HDFCBANK")
    page.locator("#found li", has_text="HDFCBANK").first.click()
    page.fill("#new-job [name=start]", "2026-01-01")  # two months of it are over at any date of this test
    page.fill("#new-job [name=end]", "2026-01-20")
    page.click("#new-job button[type=submit]")
    page.locator("#jobs tr", has_text="HDFCBANK").get_by_text("done").wait_for()
    expect(page.locator("#items tbody tr")).to_have_count(2)
    page.click("[data-tab=catalog]")
    page.locator("#series tr", has_text="HDFCBANK").filter(has_text="1m").get_by_text("Show").click()
    page.locator(".stored-chart canvas").first.wait_for()
    expect(page.locator("#gaps i.full")).to_have_count(20)
    expect(page.locator("#gaps i.missing")).not_to_have_count(0)
    page.click("[data-tab=files]")
    page.select_option("#export [name=exchange]", "NSE")
    page.select_option("#export [name=symbols]", "HDFCBANK")
    page.fill("#export [name=start]", "2026-01-01")
    with page.expect_download() as kept:
        page.click("#export button[type=submit]")
    assert len(Path(kept.value.path()).read_text().splitlines()) == 21, "a head and a bar for each day"
    bad = "symbol,exchange,interval,timestamp,open,high,low,close,volume,oi\nX,NSE,D,never,1,1,1,1,1,0\n"
    page.set_input_files(
        "#import [type=file]", {"name": "x.csv", "mimeType": "text/csv", "buffer": bad.encode()}
    )
    page.click("text=Look at it first")
    page.locator("#row-errors", has_text="never").wait_for()
    assert complaints.seen == []
    context.close()


def test_a_strategy_is_made_and_its_orders_wait_for_a_person(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any]
) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=cookies["kotak"])
    complaints.watch(context)
    page = context.new_page()
    open_page(page, fleet.url("kotak"), "strategies")
    page.click("text=New strategy")
    page.fill("#create [name=name]", "opening range")
    page.fill("#create [role=combobox]", "SBIN")
    page.locator("#found li", has_text="SBIN").first.click()
    page.click("#create button[type=submit]")
    expect(page.locator("#webhook")).to_have_text(re.compile(r"/strategy/webhook/[0-9a-f-]{36}"))
    page.click("text=Ask me first")
    page.locator("#approvals .state", has_text="wait").wait_for()
    try:
        body = {
            "apikey": fleet.key("kotak"),
            "strategy": "opening range",
            "exchange": "NSE",
            "symbol": "SBIN",
        }
        order = {**body, "action": "BUY", "pricetype": "MARKET", "product": "MIS", "quantity": "3"}
        for _ in range(2):
            assert asked(fleet, "kotak", "placeorder", order)["mode"] == "semi_auto"
        waiting = page.locator("#waiting tr[data-key]")
        expect(waiting).to_have_count(2)
        waiting.first.get_by_text("Reject").click()
        expect(waiting).to_have_count(1)
        waiting.first.get_by_text("Approve").click()
        expect(waiting).to_have_count(0)
        page.locator("#one-strategy #orders, #one-strategy table").last.get_by_text("complete").wait_for()
    finally:
        page.click("text=Let them leave at once")
        page.locator("#approvals .state", has_text="leave at once").wait_for()
    assert complaints.seen == []
    context.close()


def test_the_log_is_followed_and_filtered(browser: Browser, fleet: Fleet, cookies: dict[str, Any]) -> None:
    context = browser.new_context(storage_state=cookies["dhan"])
    page = context.new_page()
    open_page(page, fleet.url("dhan"), "traffic")
    page.fill("#log-card input[type=search]", "placeorder")
    page.wait_for_timeout(300)
    before = page.locator("#log .line").count()
    place(fleet, "dhan")
    expect(page.locator("#log .line")).to_have_count(before + 1)
    page.locator("#traffic tr", has_text="placeorder").first.wait_for()
    context.close()


@pytest.mark.parametrize(("name", "title", "width", "scheme"), SIZES)
def test_every_page_is_drawn_and_nobody_is_kept_out(
    browser: Browser,
    fleet: Fleet,
    cookies: dict[str, Any],
    pictures: Path,
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
        page.screenshot(
            path=pictures / f"{path or 'dashboard'}-{width}-{scheme}.png",
            clip={"x": 0, "y": 0, "width": width, "height": TALLEST},
            full_page=True,
        )
        assert complaints.seen == [], path
        if path in JUDGED[width]:
            problems[path] = serious(page)
            complaints.seen.clear()  # what axe itself does is not the page's doing
    assert not any(problems.values()), problems
    context.close()


def test_orders_are_modified_and_cancelled_by_hand(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any]
) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=cookies["dhan"])
    complaints.watch(context)
    page = context.new_page()
    url = fleet.url("dhan")
    place(fleet, "dhan")
    far = f"{last_price(fleet, 'dhan') * 0.97:.1f}"
    one, two = (place(fleet, "dhan", pricetype="LIMIT", price=far, strategy="by hand") for _ in range(2))
    open_page(page, url, "orders")
    row = page.locator("#orders tr", has_text=one)
    row.locator("text=open").wait_for()
    row.focus()
    page.keyboard.press("m")
    page.fill("dialog [name=quantity]", "4")
    page.keyboard.press("Enter")
    row.get_by_text("0 of 4").wait_for()
    row.focus()
    page.keyboard.press("c")
    page.click("dialog >> text=Cancel the order")
    row.get_by_text("cancelled").wait_for()
    page.locator("#orders tr", has_text=two).locator("input").check()
    page.click("text=Cancel 1")
    page.click("dialog >> text=Cancel the order")
    page.locator("#orders tr", has_text=two).get_by_text("cancelled").wait_for()
    with page.expect_download() as kept:
        page.click("text=CSV")
    lines = Path(kept.value.path()).read_text().splitlines()
    assert any(one in line or "0/4" in line for line in lines[1:])

    page.click("text=Positions")
    held = page.locator("#positions tr", has_text="SBIN")
    held.locator("text=Close").click()
    page.click("dialog >> text=Close it")
    expect(held.locator("td.actions button")).to_have_count(0)
    # one of the feed's cells that is on the page has moved by itself
    assert complaints.seen == []
    context.close()


def fault(fleet: Fleet, name: str, method: str = "POST", **rule: Any) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{fleet.ports[name]['SIM_PORT']}/_sim/faults",
        data=json.dumps(rule).encode() if rule else None,
        headers={"Content-Type": "application/json"},
        method=method,
    )
    urllib.request.urlopen(request, timeout=10).close()


def test_an_unknown_order_is_in_the_inbox_and_a_lost_book_is_not_an_empty_one(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any]
) -> None:
    context = browser.new_context(storage_state=cookies["dhan"])
    page = context.new_page()
    known = place(fleet, "dhan")
    open_page(page, fleet.url("dhan"), "orders")
    page.locator("#orders tr", has_text=known).wait_for()
    fault(fleet, "dhan", kind="status", code=503, match={"path": "/orders", "method": "GET"})
    fault(fleet, "dhan", kind="drop_before", count=1, match={"path": "/orders$", "method": "POST"})
    try:
        with pytest.raises(urllib.error.HTTPError, match="504"):
            place(fleet, "dhan")
        page.locator(".notice.bad", has_text="503").wait_for()
        assert page.locator("#orders tr", has_text=known).is_visible()
        page.locator("#blocked", has_text="Do not send them again").wait_for()
        page.click("text=Unknown")
        page.click("text=Evidence")
        page.locator(".events b", has_text="lost").wait_for()
        assert page.locator("text=Resolve…").is_disabled(), "today's book decides"
    finally:
        fault(fleet, "dhan", "DELETE")
    context.close()


def test_a_market_watch_finds_streams_and_keeps(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any]
) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=cookies["kotak"])
    complaints.watch(context)
    page = context.new_page()
    url = fleet.url("kotak")
    open_page(page, url, "watch")
    prices = page.locator("#watch td.main")
    until(lambda: prices.count() == 3 and "–" not in prices.all_inner_texts(), 10, "three prices")
    before = prices.all_inner_texts()
    until(lambda: prices.all_inner_texts() != before, 10, "a price changes")
    page.fill("[role=combobox]", "infy")
    page.locator("#found li", has_text="INFY").first.wait_for()
    page.keyboard.press("Enter")
    added = page.locator("#watch tr", has_text="INFY")
    until(lambda: "–" not in added.locator("td.main").inner_text(), 10, "the new one has a price")
    added.locator("text=Depth").click()
    until(lambda: page.locator("#ladder tbody tr").count() == 5, 10, "five levels")
    until(lambda: "–" not in page.locator("#ladder tbody tr td.up").first.inner_text(), 10, "a bid")
    page.reload()
    page.locator("#watch tr", has_text="INFY").locator("text=Depth").wait_for()
    assert complaints.seen == []
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
