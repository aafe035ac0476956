"""A real Chromium over the pages, and what it had to complain about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.environment import chromium

# root (a container) has no sandbox to offer; nothing but loopback is ever opened
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).with_name("vendor") / "axe.min.js"
OWNER = ("asha", "correct horse battery")


@contextmanager
def opened() -> Iterator[Browser]:
    """A browser with a new, empty profile."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Complaints:
    """Everything a page must not do: console errors and warnings, exceptions, requests off this machine."""

    seen: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        # Chromium also says it on the console; the event is the standard's way
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', e => "
            "console.error('CSP', e.violatedDirective, e.blockedURI))"
        )
        context.on("console", self._console)
        context.on("weberror", lambda error: self.seen.append(f"exception {error.error}"))
        context.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.seen.append(f"{message.type} {message.text}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:")):
            self.seen.append(f"request {request.url}")


def sign_in(page: Page, url: str) -> None:
    page.goto(f"{url}/")
    assert page.url == f"{url}/sign-in"
    page.fill("[name=username]", OWNER[0])
    page.fill("[name=password]", OWNER[1])
    page.click("main button[type=submit]")
    live(page)


def enter(page: Page, url: str, code: str) -> None:
    """Signed in, whether or not another test made the owner before."""
    page.goto(f"{url}/")
    if page.url == f"{url}/setup":
        make_owner(page, url, code)
    else:
        sign_in(page, url)


def make_owner(page: Page, url: str, code: str) -> None:
    page.goto(f"{url}/")
    assert page.url == f"{url}/setup"
    page.fill("[name=code]", code)
    page.fill("[name=username]", OWNER[0])
    page.fill("[name=password]", OWNER[1])
    page.fill("[name=repeat]", OWNER[1])
    page.click("main button[type=submit]")
    page.wait_for_url("**/start")
    page.click("text=To the dashboard")
    live(page)


def live(page: Page) -> None:
    """The page is connected; the dashboard has its numbers."""
    page.wait_for_selector("#link.good")
    if page.url.endswith("/"):
        page.wait_for_selector("#feed .state")


def open_page(page: Page, url: str, path: str) -> None:
    """One of the pages of an instance, signed in, drawn by its script."""
    page.goto(f"{url}/{path}")
    page.wait_for_selector("#link.good")
    page.wait_for_selector("main .card")


def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page. Runs beside the page's own policy."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:160]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
