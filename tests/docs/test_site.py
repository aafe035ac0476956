"""The built site: whole, and at home without a server or a network."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.clients import client_python
from tests.docs.said import ROOT
from tests.e2e.browser import opened

pytestmark = [pytest.mark.client, pytest.mark.xdist_group("manual")]
FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "form": "action"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    client_python("docs")  # fails with what makes it
    folder = tmp_path_factory.mktemp("manual")
    built = subprocess.run(
        [ROOT / "scripts" / "manual", "--to", folder], capture_output=True, text=True, timeout=100
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Asked(HTMLParser):
    """What a browser fetches to show a page, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("rel") not in ("canonical", "prev", "next") and (url := found.get(FETCHED.get(tag, ""))):
            self.fetched.append(url)
        if tag == "a" and (url := found.get("href")):
            self.linked.append(url)


def test_no_page_asks_another_host_and_every_link_leads_somewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        asked = Asked()
        asked.feed(page.read_text(encoding="utf-8"))
        assert asked.fetched
        for url in asked.fetched:
            parts = urlsplit(url)
            assert not parts.scheme or parts.scheme == "data", f"{page.name} fetches {url}"
            assert not parts.netloc, f"{page.name} fetches {url}"
        for url in (*asked.fetched, *asked.linked):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc or not parts.path or page.name == "404.html":
                continue
            assert (page.parent / unquote(parts.path)).exists(), f"{page.name} leads to {url}"


def test_pages_show_the_examples(site):
    shown = {
        "sdk": "with_sdk",
        "webhook": "send_alert",
        "websocket": "watch_websocket",
        "zeromq": "ask_quotes",
    }
    for page, example in shown.items():
        text = (site / "strategies" / f"{page}.html").read_text(encoding="utf-8")
        code = (ROOT / "docs" / "manual" / "examples" / f"{example}.py").read_text(encoding="utf-8")
        assert "ALGO_" in text, page
        assert "--8" not in text, page
        assert code.splitlines()[0].strip('"').split(",")[0] in text, page


def test_a_dead_link_fails_the_build(tmp_path):
    client_python("docs")
    copied = [*(f"scripts/{name}" for name in ("manual", "bootstrap.sh", "locks/docs.txt")), "pyproject.toml"]
    for name in copied:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("images"))
    (tmp_path / ".venv-docs").symlink_to(ROOT / ".venv-docs")
    page = tmp_path / "docs" / "manual" / "orders.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[gone](limits.md#gone)\n", encoding="utf-8")
    built = subprocess.run(
        [tmp_path / "scripts" / "manual", "--to", tmp_path / "site"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert built.returncode != 0
    assert "#gone" in built.stderr


def test_styles_ask_no_other_host(site):
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "url(http" not in text, sheet
        assert "@import" not in text, sheet


def test_a_browser_opens_it_as_a_file_and_finds_words(site):
    seen: list[str] = []
    with opened() as browser:
        page = browser.new_page()
        page.on("request", lambda request: seen.append(request.url))
        page.on("pageerror", lambda error: seen.append(f"error: {error}"))
        page.goto(f"file://{site}/index.html")
        page.click("[data-md-component=search-query]")
        page.keyboard.type("freeze quantity")
        page.wait_for_selector("[data-md-component=search-result] a")
        said = page.inner_text("[data-md-component=search-result]")
    assert "freeze" in said.lower()
    assert [one for one in seen if not one.startswith(("file://", "data:", "about:", "blob:"))] == []


def test_the_recording_is_small_and_shows_a_real_run():
    images = ROOT / "docs" / "images"
    picture = (images / "first-run.svg").read_text(encoding="utf-8")
    assert len(picture.encode()) <= 150_000
    for words in ("algo up kotak dhan --sim -d", "algo status", "ready"):
        assert words in picture
    assert '"version": 2' in (images / "first-run.cast").read_text(encoding="utf-8").splitlines()[0]
