"""A picture of the beginning of a report file: ``python -m tests.e2e.reportpicture REPORT.html FILE.png``."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

from tests.e2e.browser import SWITCHES
from tests.e2e.shots import LARGEST_BYTES, packed
from tests.environment import chromium

SIZE: ViewportSize = {"width": 1180, "height": 1000}


def take(report: Path, file: Path) -> None:
    """As a browser shows it in the light scheme, small enough for the README."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(SWITCHES))
        page = browser.new_page(viewport=SIZE)
        page.goto(report.resolve().as_uri())
        small = packed(browser.new_page(), page.screenshot())
        browser.close()
    if len(small) > LARGEST_BYTES:
        raise SystemExit(f"{file.name} would have {len(small):,} bytes")
    file.write_bytes(small)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
