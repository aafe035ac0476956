"""The fleet page in a real browser, as a person uses it. Part of ``test_pages``, whose fleet it shares."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

from playwright.sync_api import Page, expect

from tests.e2e.browser import OWNER
from tests.e2e.fleet import Fleet, until

NAMES = ("kotak", "dhan")


def url_of(fleet: Fleet) -> str:
    return f"http://127.0.0.1:{fleet.shared['CONSOLE_PORT']}"


def enter(page: Page, fleet: Fleet, code: str | None) -> None:
    """Signed in, with a new account when there is none yet."""
    url = url_of(fleet)
    page.goto(f"{url}/")
    if page.url == f"{url}/setup":
        assert code is not None, "the code is gone, and so must be the page that asks for it"
        page.fill("[name=code]", code)
        page.fill("[name=repeat]", OWNER[1])
    page.fill("[name=username]", OWNER[0])
    page.fill("[name=password]", OWNER[1])
    page.click("main button[type=submit]")
    page.wait_for_selector("#link.good")


def card(page: Page, name: str) -> Any:
    return page.locator(f"[data-instance={name}]")


def restart(page: Page, name: str) -> None:
    """By its button; until the card shows the new process ready."""
    one = card(page, name)
    one.locator("summary").click()
    pids = one.locator("[data-fact=pids]")
    before = pids.inner_text()
    one.get_by_role("button", name="Restart").click()
    page.click("dialog >> button.danger")
    expect(one.locator(".state")).not_to_have_text("ready")
    expect(one.locator(".state")).to_have_text("ready", timeout=20_000)
    until(lambda: pids.inner_text() not in (before, "–"), 5, "other pids")


def answered(fleet: Fleet, name: str, key: str) -> str:
    """How an instance answers a small entry now: ``success``, or the code of its refusal."""
    body = {
        **{"apikey": key, "strategy": "walk", "exchange": "NSE", "symbol": "SBIN", "action": "BUY"},
        **{"pricetype": "MARKET", "product": "MIS", "quantity": "1"},
    }
    request = urllib.request.Request(
        f"{fleet.url(name)}/api/v1/placeorder",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as exc:
        return str(json.load(exc)["code"])


def panic_and_resume(page: Page, fleet: Fleet, keys: dict[str, str]) -> None:
    page.get_by_role("button", name="Panic", exact=True).click()
    page.click("dialog >> button.danger")
    page.get_by_text("New entries are blocked on every instance").wait_for()
    for name in NAMES:
        page.locator(".note.good", has_text=f"{name}: entries blocked").wait_for()
        assert answered(fleet, name, keys[name]) == "ENTRIES_BLOCKED"
    page.get_by_role("button", name="Resume entries").click()
    page.click("dialog >> button[type=submit]")
    expect(page.locator("#blocked")).to_be_hidden()
    for name in NAMES:
        until(lambda name=name: answered(fleet, name, keys[name]) == "success", 5, f"{name} trades again")


def combined(page: Page, fleet: Fleet, keys: dict[str, str]) -> None:
    """Rows of both instances in one table, with a sum and a filter, and a new one by itself."""
    page.click("nav >> text=Positions")
    rows = page.locator("#positions tbody tr[data-key]")
    until(lambda: rows.count() >= 2, 10, "a position of each")
    owners = set(page.locator("#positions .whose").all_inner_texts())
    assert owners == set(NAMES)
    expect(page.locator("#positions tfoot b")).to_have_text(re.compile(r"^[+-]?[\d,]+\.\d\d$"))
    page.click("role=tab[name=/Orders/]")
    page.locator("#orders tbody tr[data-key]").first.wait_for()
    count = page.locator("#orders tbody tr[data-key]").count()
    assert answered(fleet, "dhan", keys["dhan"]) == "success"
    until(
        lambda: page.locator("#orders tbody tr[data-key]").count() > count,
        10,
        "the new order comes by itself",
    )
    page.fill("#orders input[type=search]", "kotak")
    assert set(page.locator("#orders .whose").all_inner_texts()) == {"kotak"}


def rebound(fleet: Fleet) -> list[int]:
    """What a page reads whose name was bound to this machine after it was loaded."""
    codes = []
    for path in ("/", "/web/api/fleet", "/health/ready", "/static/lib/live.js"):
        request = urllib.request.Request(url_of(fleet) + path, headers={"Host": "evil.example:5050"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                codes.append(answer.status)
        except urllib.error.HTTPError as exc:
            codes.append(exc.code)
    return codes


LISTEN = """url => new Promise(done => {
  const heard = [];
  const source = new EventSource(url, { withCredentials: true });
  source.onmessage = source.onopen = () => heard.push("open");
  source.addEventListener("fleet", event => heard.push(event.data));
  source.onerror = () => { source.close(); done(heard); };
})"""
SEND = """url => fetch(url, { method: "POST", mode: "no-cors", credentials: "include",
  body: new URLSearchParams({ sure: "yes", what: "panic" }) }).catch(() => {})"""
