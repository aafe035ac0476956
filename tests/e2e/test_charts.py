"""Chart trading and the option chain in a real browser, on real instances."""

from __future__ import annotations

import contextlib
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.browser import Complaints, enter, open_page, serious
from tests.e2e.desk import key_of
from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("pages")]
SIZES = [("dhan", 1440, "light"), ("kotak", 390, "dark")]
SIGNED_IN: dict[str, Any] = {}
"""Once for each instance: signing in is other tests' business."""
FAR = "-400"
"""Ticks below the bid: an order there rests."""


class Trader:
    """A signed-in page and the instance behind it."""

    def __init__(self, browser: Browser, fleet: Fleet, codes: dict[str, str], name: str, **look: Any) -> None:
        self.url, self.name = fleet.url(name), name
        self._fleet = fleet
        self.complaints = Complaints()
        self.context = browser.new_context(storage_state=SIGNED_IN.get(name), **look)
        self.complaints.watch(self.context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        if name not in SIGNED_IN:
            enter(self.page, self.url, codes[name])
            SIGNED_IN[name] = self.context.storage_state()
        self._key = key_of(fleet, name)

    def open(self, path: str) -> None:
        open_page(self.page, self.url, path)
        self.page.locator("#last", has_text=".").wait_for()
        self.page.locator(".foot", has_text=re.compile(r"Bid [\d,]+\.\d")).wait_for()

    def asked(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            data=json.dumps({"apikey": self._key, **body}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def orders(self) -> list[dict[str, Any]]:
        rows = self.asked("orderbook")["data"]["orders"]
        return [row for row in rows if row["strategy"] == "scalping"]

    def line(self, kind: str) -> Locator:
        """One that the book has, not one that is being sent."""
        return self.page.locator(f".mark.{kind}[data-state=open] .tag")

    def agree(self) -> None:
        self.page.locator("dialog[open] button[type=submit]").click()
        self.page.locator("dialog[open]").wait_for(state="detached")

    def far(self, ticks: str = FAR) -> None:
        """A limit far from the market, and no question before each order."""
        self.page.locator("#ticket [role=tab]", has_text="Limit").click()
        self.page.get_by_label("± ticks").fill(ticks)
        self.page.get_by_label("Ask before each order").click()
        self.agree()
        expect(self.page.get_by_label("Ask before each order")).not_to_be_checked()
        self.page.locator("h1").click(force=True)  # away from the fields: keys are for trading again

    def fault(self, method: str = "POST", **rule: Any) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._fleet.ports[self.name]['SIM_PORT']}/_sim/faults",
            data=json.dumps(rule).encode() if rule else None,
            headers={"Content-Type": "application/json"},
            method=method,
        )
        urllib.request.urlopen(request, timeout=10).close()


@pytest.fixture
def trader(browser: Browser, page_fleet: Fleet, codes: dict[str, str], request: Any) -> Iterator[Trader]:
    """On Dhan at a desk, unless a test says otherwise: (name, width, scheme)."""
    name, width, scheme = getattr(request, "param", SIZES[0])
    size = {"width": width, "height": 900}
    one = Trader(browser, page_fleet, codes, name, viewport=size, color_scheme=scheme)
    yield one
    one.context.close()
    with contextlib.suppress(urllib.error.HTTPError):  # one whose outcome is not known cannot be cancelled
        one.asked("cancelallorder", strategy="scalping")
        one.asked("closeposition", strategy="scalping")


@pytest.mark.parametrize("trader", [("dhan", 1440, "light"), ("kotak", 1440, "dark")], indirect=True)
def test_an_order_is_placed_by_key_dragged_and_clicked_away(trader: Trader) -> None:
    page = trader.page
    trader.open("scalping?underlying=NIFTY&strike=ATM&type=PE")
    name = page.locator(".chart-card .name").inner_text()
    assert re.fullmatch(r"NIFTY\d\d[A-Z]{3}\d\d\d+PE", name)
    expect(page.locator("#picker option", has_text="ATM")).to_have_count(1)
    before = len(trader.orders())

    page.get_by_label("± ticks").fill(FAR)
    page.locator("h1").click(force=True)
    page.keyboard.press("b")
    page.locator("#said", has_text="keys are off").wait_for()
    page.keyboard.press("a")
    page.keyboard.press("b")
    page.locator("dialog", has_text=f"Buy 65 {name}?").wait_for()
    assert len(trader.orders()) == before
    trader.agree()
    trader.line("buy").wait_for()
    mark = page.locator(".mark.buy[data-state=open]")
    order_id = mark.get_attribute("data-order")
    [row] = [one for one in trader.orders() if one["orderid"] == order_id]
    assert (row["symbol"], row["pricetype"], row["order_status"]) == (name, "LIMIT", "open")

    grip = page.locator(".mark.buy .grip")
    box = grip.bounding_box()
    assert box is not None
    x, y = box["x"] + 12, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 24, steps=4)
    page.mouse.up()
    until(lambda: price_of(trader, order_id) > row["price"], 10, "the order book has the new price")
    moved = price_of(trader, order_id)
    assert round(moved * 20) == pytest.approx(moved * 20), "off the grid of ticks"
    expect(grip).to_have_text(f"BUY 65 {moved:,.2f}")

    page.locator(".mark.buy .x").click()
    expect(page.locator(".mark.buy")).to_have_count(0)
    assert next(one for one in trader.orders() if one["orderid"] == order_id)["order_status"] == "cancelled"
    for kind in ("click_acknowledged", "click_drawn", "cancel_gone"):
        expect(page.locator(f"#timings [data-kind={kind}] td").nth(1)).to_have_text(re.compile(r"\d"))

    page.locator("#ticket [role=tab]", has_text="Market").click()
    page.locator("#sell").click()
    trader.agree()
    held = trader.line("position")
    expect(held).to_contain_text("Short 65 MIS")
    held.locator(".exit").click()
    trader.agree()
    expect(held).to_have_count(0)
    assert trader.complaints.seen == []


def price_of(trader: Trader, order_id: str | None) -> float:
    return next(float(one["price"]) for one in trader.orders() if one["orderid"] == order_id)


def test_a_press_is_one_order_and_an_unknown_one_closes_its_side(trader: Trader) -> None:
    page = trader.page
    trader.open("scalping?exchange=NSE&symbol=SBIN")
    trader.far()
    before = len(trader.orders())
    page.keyboard.press("a")
    page.keyboard.press("b")
    page.keyboard.press("b")
    page.locator("#said", has_text="not taken").wait_for()
    trader.line("buy").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    page.locator("#said", has_text="keys are off").wait_for()
    assert [one["action"] for one in trader.orders()[before:]] == ["BUY"]

    page.get_by_label("± ticks").fill("-9000")  # beyond the day's circuit limits
    page.wait_for_timeout(450)  # another press, not a slip of the finger
    page.locator("#sell").click()
    page.locator("#said", has_text="circuit limits").wait_for()
    page.get_by_label("± ticks").fill(FAR)
    page.wait_for_timeout(450)
    trader.fault(kind="drop_before", count=1, match={"path": "/orders$", "method": "POST"})
    try:
        page.locator("#sell").click()
        warned = page.locator(".side .notice", has_text="Not known SELL 1 SBIN")
        warned.wait_for()
    finally:
        trader.fault("DELETE")
    page.locator("#tape li", has_text="outcome not known").wait_for()
    assert page.locator("#sell").is_disabled()
    expect(page.locator("#buy")).to_be_enabled()
    warned.locator("button").click()
    expect(page.locator("#sell")).to_be_enabled()


def test_a_refused_move_snaps_back_with_the_reason(trader: Trader) -> None:
    """Out of the day's circuit limits, by keys."""
    page = trader.page
    trader.open("scalping?exchange=NSE&symbol=SBIN")
    quote = trader.asked("quotes", exchange="NSE", symbol="SBIN")["data"]
    trader.far(str(round((quote["prev_close"] * 0.905 - quote["bid"]) / 0.05)))
    page.locator("#buy").click()
    trader.line("buy").wait_for()
    grip = page.locator(".mark.buy .grip")
    before = grip.inner_text()
    grip.focus()
    for _ in range(20):
        page.keyboard.press("PageDown")
    expect(grip).to_contain_text("→")
    page.keyboard.press("Enter")
    expect(page.locator(".mark.buy .why")).to_contain_text("outside the circuit limits")
    expect(grip).to_have_text(before)
    page.keyboard.press("Delete")
    expect(page.locator(".mark.buy")).to_have_count(0)


def test_an_old_price_takes_a_second_press(trader: Trader, page_fleet: Fleet) -> None:
    page = trader.page
    sockets: list[Any] = []

    def relay(route: Any) -> None:
        if not sockets:
            route.connect_to_server()
        sockets.append(route)

    page.route_web_socket(re.compile(f":{page_fleet.ports['dhan']['WEBSOCKET_PORT']}/"), relay)
    trader.open("scalping?exchange=NSE&symbol=SBIN")
    trader.far()
    sockets[0].close()
    page.locator("#last.stale").wait_for()
    before = len(trader.orders())
    page.locator("#buy").click()
    page.locator("#said", has_text="The feed is not connected").wait_for()
    assert len(trader.orders()) == before
    page.wait_for_timeout(450)  # a second press, not a slip of the finger
    page.locator("#buy").click()
    trader.line("buy").wait_for()
    assert len(trader.orders()) == before + 1


@pytest.mark.parametrize("trader", SIZES, indirect=True)
def test_both_pages_are_drawn_and_nobody_is_kept_out(trader: Trader) -> None:
    page = trader.page
    problems: dict[str, Any] = {}

    def look(name: str) -> None:
        wide = "[document.documentElement, ...document.querySelectorAll('.card')]"
        assert page.evaluate(f"{wide}.every(b => b.scrollWidth <= b.clientWidth)"), f"{name} scrolls sideways"
        assert trader.complaints.seen == []
        problems[name] = serious(page)
        trader.complaints.seen.clear()  # what axe itself does is not the page's doing

    open_page(page, trader.url, "option-chain?underlying=NIFTY")
    middle = page.locator("#chain tr.atm")
    middle.wait_for()
    assert page.locator("#chain tbody tr").count() == 21
    deltas = page.locator("#chain tr.atm .c-delta").all_text_contents()
    assert 0.3 < float(deltas[0]) < 0.7
    assert -0.7 < float(deltas[1]) < -0.3
    expect(page.locator("#straddle")).to_have_text(re.compile(r"\d"))
    before = page.locator("#chain .last").all_inner_texts()
    until(lambda: page.locator("#chain .last").all_inner_texts() != before, 10, "a price moves")
    look("option-chain")
    call = middle.locator(".last.ce a")
    symbol = (call.get_attribute("title") or "").removeprefix("Trade ")
    call.click()
    page.locator(".chart-card .name", has_text=symbol).wait_for()
    page.locator(".foot", has_text=re.compile(r"Bid [\d,]+\.\d")).wait_for()
    page.locator(".over").wait_for(state="detached")  # the candles are there
    look("scalping")
    assert problems == {"option-chain": [], "scalping": []}


def test_a_link_that_cannot_be_followed_opens_nothing_else(trader: Trader) -> None:
    open_page(trader.page, trader.url, "scalping?underlying=NIFTY&strike=26001.5&type=CE")
    assert "near it" in trader.page.locator(".notice.warn", has_text="has no CE at 26001.5").inner_text()
    assert trader.page.locator(".chart-card .name").inner_text() == "No instrument"
    assert trader.page.locator("#buy").is_disabled()


BARS = """async (path) => {
  const { Bars } = await import(path);
  const history = (timestamp, close, volume) => ({timestamp, open: 10, high: 12, low: 9, close, volume});
  const of = {open: 8, high: 14, low: 7};
  const tick = (at, ltp, volume) => ({timestamp: at * 1000, ltt: at * 1000, ltp, volume, ...of});
  const shown = ({ time, open, high, low, close, volume }) => [time, open, high, low, close, volume];
  const one = new Bars("5m");
  one.merge([history(900, 11, 100), history(1200, 11, 40)]);
  const said = [one.tick(tick(1210, 13, 1000)).began, one.tick(tick(1499, 8, 1030)).began];
  const old = one.tick(tick(1100, 50, 1030));
  said.push(one.tick(tick(1810, 9, 1050)).began);
  one.merge([history(1200, 8, 75)]);
  one.tick(tick(1850, 9, 1060));
  const day = new Bars("D");
  day.merge([]);
  day.tick(tick(1210, 10, 500));
  return { said, old, bars: one.rows.map(shown), day: day.rows.map(shown) };
}"""


def test_the_running_bar_is_made_of_ticks_and_history_has_the_last_word(trader: Trader) -> None:
    open_page(trader.page, trader.url, "scalping")
    module = trader.page.locator("link[href*='lib/bars.js']").get_attribute("href")
    found = trader.page.evaluate(BARS, module)
    assert found["said"] == [False, False, True]
    assert found["old"] is None
    # what /history says of an ended bar stands; the running one began at the last total and follows the step
    assert found["bars"] == [
        [900, 10, 12, 9, 11, 100],
        [1200, 10, 12, 9, 8, 75],
        [1800, 9, 9, 9, 9, 30],
    ]
    assert found["day"] == [[0, 8, 14, 7, 10, 500]]
