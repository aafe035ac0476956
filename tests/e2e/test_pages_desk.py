"""A day at the desk in a real browser: watch, trade by hand, close everything, download, automate."""

from __future__ import annotations

import re
import urllib.error
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.browser import Complaints, open_page
from tests.e2e.desk import asked, fault, last_price, of_yesterday, place
from tests.e2e.fleet import Fleet, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("pages")]


@pytest.fixture(scope="module")
def fleet(page_fleet: Fleet) -> Fleet:
    return page_fleet


def hold_and_retry_a_job(page: Page, fleet: Fleet) -> None:
    """A slow one is paused, goes on and is ended; one whose answer is garbage fails, and is asked again."""
    days = {"intervals": ["D"], "start_date": "2026-01-01", "end_date": "2026-01-20"}
    slow = [{"exchange": "NSE", "symbol": one} for one in ("ITC", "INFY", "TCS", "SBIN", "ICICIBANK", "LT")]
    fault(fleet, "dhan", kind="delay", delay_s=0.7, match={"path": "/charts/"})
    try:
        assert asked(fleet, "dhan", "historify/jobs", {"symbols": slow, **days})["new"]
        row = page.locator("#jobs tr", has_text="ITC")
        row.get_by_role("button", name="Pause").click()
        expect(row.locator(".state")).to_have_text("paused")
        row.get_by_role("button", name="Resume").click()
        expect(row.locator(".state")).to_have_text(re.compile("queued|running"))
        row.get_by_role("button", name="Cancel").click()
        page.click("dialog >> button.danger")
        expect(row.locator(".state")).to_have_text(re.compile("cancelled"))
        fault(fleet, "dhan", "DELETE")
        fault(fleet, "dhan", kind="garbage", match={"path": "/charts/"})
        bad = {"symbols": [{"exchange": "NSE", "symbol": "RELIANCE"}], **days}
        number = asked(fleet, "dhan", "historify/jobs", bad)["data"]["id"]
        row = page.locator("#jobs tr", has_text="RELIANCE")
        expect(row.locator(".state")).to_have_text("failed", timeout=20_000)
        row.get_by_role("button", name="Series").click()
        page.locator("#items .why.bad").wait_for()
    finally:
        fault(fleet, "dhan", "DELETE")
    row.get_by_role("button", name="Retry failed").click()
    page.locator(".note", has_text=f"Job {number} asks again for what failed").wait_for()
    expect(row.locator(".state")).to_have_text("done", timeout=20_000)


def repeat_a_download(page: Page) -> None:
    """A list, and a schedule over it that is run, rests, goes on and is deleted."""
    page.click("[data-tab=lists]")
    page.click("text=New list")
    page.fill("dialog [name=name]", "banks")
    page.click("dialog >> text=Make it")
    page.fill("#one-list [role=combobox]", "SBIN")
    page.locator("#found li", has_text="SBIN").first.click()
    page.locator("#one-list .chips li", has_text="SBIN").wait_for()
    form = page.locator("#schedules-card form")
    form.locator("[name=name]").fill("after the close")
    form.locator("[name=watchlist]").select_option("banks")
    form.locator("button").click()
    row = page.locator("#schedules tr", has_text="after the close")
    for button, state in (("Let it rest", "rests"), ("Switch on", "on")):
        row.get_by_role("button", name=button).click()
        expect(row.locator(".state")).to_have_text(state)
    row.get_by_role("button", name="Run now").click()
    page.locator(".note", has_text="after the close is queued").wait_for()
    row.get_by_role("button", name="Delete").click()
    page.click("dialog >> button.danger")
    expect(row).to_have_count(0)


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
    hold_and_retry_a_job(page, fleet)
    repeat_a_download(page)
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
    state = page.locator("#strategies tr", has_text="opening range").locator(".state")
    page.click("text=Switch off")
    expect(state).to_have_text("off")
    page.click("text=Switch on")
    expect(state).to_have_text("on")
    page.click("text=Ask me first")
    page.locator("#approvals .state", has_text="wait").wait_for()
    try:
        body = {
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
    # lines of what earlier tests did may still be on their way, too
    until(lambda: page.locator("#log .line").count() > before, 10, "the line of the new order")
    page.locator("#traffic tr", has_text="placeorder").first.wait_for()
    context.close()


@pytest.mark.parametrize("name", ["kotak", "dhan"])
def test_orders_are_modified_and_cancelled_and_everything_closed_by_hand(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any], name: str
) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=cookies[name])
    complaints.watch(context)
    page = context.new_page()
    url = fleet.url(name)
    for symbol in ("SBIN", "TCS"):
        place(fleet, name, symbol=symbol)
    far = f"{last_price(fleet, name) * 0.97:.1f}"
    one, two = (place(fleet, name, pricetype="LIMIT", price=far, strategy="by hand") for _ in range(2))
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
    closing = page.locator("#positions td.actions button")
    until(lambda: closing.count() >= 2, 10, "two positions to close")
    page.click("text=Close all")
    page.locator("dialog li", has_text="Sell 3 TCS MIS").wait_for()
    page.click("dialog >> text=Close them")
    expect(closing).to_have_count(0)
    assert {int(row["quantity"]) for row in asked(fleet, name, "positionbook", {})["data"]} == {0}
    assert complaints.seen == []
    context.close()


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
        of_yesterday(fleet, "dhan")
        page.reload()
        page.click("text=Unknown")
        page.click("text=Resolve…")
        page.fill("dialog [name=evidence]", "contract note: not in it")
        page.click("dialog >> text=End it so")
        page.get_by_text("Every order's outcome is known.").wait_for()
        expect(page.locator("#blocked")).to_be_hidden()
    finally:
        fault(fleet, "dhan", "DELETE")
    context.close()


@pytest.mark.parametrize(("name", "levels"), [("kotak", 5), ("dhan", 20)])
def test_a_market_watch_finds_streams_and_keeps(
    browser: Browser, fleet: Fleet, cookies: dict[str, Any], name: str, levels: int
) -> None:
    complaints = Complaints()
    context = browser.new_context(storage_state=cookies[name])
    complaints.watch(context)
    page = context.new_page()
    url = fleet.url(name)
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
    if levels > 5:
        page.click(f"#ladder >> text={levels} levels")
    rungs = page.locator("#ladder tbody tr")
    until(lambda: rungs.count() == levels, 10, f"{levels} levels")
    until(lambda: "–" not in rungs.last.locator("td.up").inner_text(), 10, "the last bid")
    assert page.evaluate(
        "document.querySelector('#ladder').scrollWidth <= document.querySelector('#ladder').clientWidth"
    )
    page.reload()
    page.locator("#watch tr", has_text="INFY").locator("text=Depth").wait_for()
    page.click("text=New list")
    page.fill("dialog [name=name]", "Banks")
    page.click("dialog >> text=Keep")
    page.fill("[role=combobox]", "hdfcbank")
    page.locator("#found li", has_text="HDFCBANK").first.click()
    page.locator("#watch tr", has_text="HDFCBANK").wait_for()
    page.click("[role=tab] >> text=Watch")
    page.locator("#watch tr", has_text="INFY").wait_for()
    page.click("[role=tab] >> text=Banks")
    page.click("main >> text=Delete")
    page.click("dialog >> button.danger")
    expect(page.locator("[role=tab]", has_text="Banks")).to_have_count(0)
    assert complaints.seen == []
    context.close()
