"""The fleet page's front door: who gets in, and what a page elsewhere can do (nothing)."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from brokers.clock import ManualClock
from gateway import comparisonfile
from supervisor.console import app
from tests.supervisor.console.rig import BASE, OWNER, Browser, build, row, seen

MOST_FIRST_LOAD = 200_000
PAGES = ("/", "/orders", "/positions", "/comparison", "/logs", "/panic")


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real cost is in ``test_owner``; here it would be seconds."""
    cheap = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("supervisor.console.owner.PasswordHasher", cheap)


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(build(tmp_path))


@pytest.fixture
def owner(browser: Browser) -> Browser:
    assert browser.make_owner().status_code == 303
    return browser


def test_the_one_time_code_makes_the_owner_once(browser: Browser) -> None:
    told: list[bool] = []
    object.__setattr__(browser.console, "spent", lambda: told.append(True))
    code = browser.console.code.current() or ""
    assert browser.make_owner(code="AAAAA-AAAAA").status_code == 400
    assert not browser.console.owner.exists()
    assert browser.make_owner(code=code.lower()).headers["Location"] == "/"
    assert browser.console.owner.exists()
    assert told == [True]
    other = Browser(browser.console)
    assert other.make_owner(code=code, username="ravi").headers["Location"] == "/sign-in"
    assert browser.console.owner.verify("ravi", OWNER["password"]) is None


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_for_the_owner_only(owner: Browser, path: str) -> None:
    assert owner.get(path).status_code == 200
    stranger = Browser(owner.console)
    assert stranger.get(path).headers["Location"] == "/sign-in"


def test_it_says_what_it_knows_without_a_script(owner: Browser) -> None:
    text = owner.get("/").text
    assert "kotak" in text
    assert "8766" in text
    assert "<script>" not in text
    assert " style=" not in text


def test_signing_in_takes_the_password_and_few_tries(owner: Browser) -> None:
    other = Browser(owner.console)
    assert other.post("/sign-in", OWNER | {"password": "wrong"}).status_code == 401
    assert other.post("/sign-in", OWNER).headers["Location"] == "/"
    for _ in range(2):
        other.post("/sign-in", OWNER | {"password": "wrong"})
    late = other.post("/sign-in", OWNER)
    assert late.status_code == 429
    assert int(late.headers["Retry-After"]) > 0
    # a page elsewhere cannot use up the tries of this machine's owner
    assert owner.get("/").status_code == 200


def test_a_signed_out_cookie_is_worthless_also_after_a_restart(owner: Browser, tmp_path: Path) -> None:
    stolen = owner.client.get_cookie(app.SESSION_COOKIE, domain="127.0.0.1")
    assert stolen is not None
    assert (stolen.http_only, stolen.same_site) == (True, "Lax")
    owner.post("/sign-out")
    for console in (owner.console, build(tmp_path)):
        thief = Browser(console)
        thief.client.set_cookie(app.SESSION_COOKIE, stolen.value, domain="127.0.0.1")
        assert thief.get("/").headers["Location"] == "/sign-in"


def test_a_session_ends_at_night(owner: Browser) -> None:
    clock = owner.console.sessions._clock
    assert isinstance(clock, ManualClock)
    clock.advance(24 * 3600)
    assert owner.get("/").headers["Location"] == "/sign-in"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5050", "127.0.0.1.evil.example", "x@127.0.0.1"]
)
@pytest.mark.parametrize("path", ["/", "/health/ready", "/web/api/fleet", "/web/api/stream"])
def test_a_name_that_was_bound_to_us_reads_nothing(owner: Browser, host: str, path: str) -> None:
    answer = owner.get(path, Host=host)
    assert (answer.status_code, answer.json["code"]) == (403, "HOST_NOT_ALLOWED")


ELSEWHERE = {
    "another port of this machine": {"Origin": "http://127.0.0.1:5000", "Sec-Fetch-Site": "same-site"},
    "another site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "a frame without an origin": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
}


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("path", ["panic", "resume", "login", "instances/dhan/stop", "instances/dhan/start"])
def test_a_page_elsewhere_can_do_nothing(owner: Browser, tmp_path: Path, name: str, path: str) -> None:
    """Even with the token, which it could not have."""
    answer = owner.call(path, {}, **ELSEWHERE[name])
    assert (answer.status_code, answer.json["code"]) == (403, "FORM_OUT_OF_DATE")
    assert not (tmp_path / "db" / "sim" / "run" / "panic.json").exists()


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_page_elsewhere_reads_nothing(owner: Browser, name: str) -> None:
    for path in ("fleet", "logs", "stream"):
        assert owner.get(f"/web/api/{path}", **ELSEWHERE[name]).status_code == 403
    assert owner.post("/sign-out", **ELSEWHERE[name]).status_code == 403
    assert owner.post("/panic", {"sure": "yes"}, **ELSEWHERE[name]).status_code == 403
    assert owner.get("/").status_code == 200, "still signed in"


@pytest.mark.parametrize("path", ["panic", "instances/dhan/stop", "login"])
def test_a_change_needs_the_form_token_and_a_session(owner: Browser, path: str) -> None:
    bare = owner.client.post(f"/web/api/{path}", base_url=BASE, json={})
    assert (bare.status_code, bare.json["code"]) == (403, "FORM_OUT_OF_DATE")
    assert Browser(owner.console).call(path).json["code"] == "SIGN_IN_REQUIRED"


@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/no-such-page"])
def test_no_inline_code_and_no_request_elsewhere(owner: Browser, path: str) -> None:
    answer = owner.get(path) if path != "/sign-in" else Browser(owner.console).get(path)
    policy = answer.headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert (rules["script-src"], rules["connect-src"], rules["frame-ancestors"]) == (
        "'self'",
        "'self'",
        "'none'",
    )
    assert "unsafe" not in policy
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Cache-Control"] == "no-store"


def test_words_from_elsewhere_are_no_markup(tmp_path: Path) -> None:
    nasty = "</script><img src=x onerror=alert(1)>"
    browser = Browser(build(tmp_path, seen(row("dhan", waiting_for=[nasty]))))
    browser.make_owner()
    assert nasty not in browser.get("/").text


def test_the_newest_comparisons_of_this_venue_are_shown(owner: Browser, tmp_path: Path) -> None:
    assert "No comparison yet" in owner.get("/comparison").text
    comparisonfile.write(tmp_path / "db" / "sim" / "compare", "orders", "<p>probes of today</p>")
    comparisonfile.write(tmp_path / "db" / "compare", "ticks", "<p>a live race</p>")
    text = owner.get("/comparison").text
    assert '<section class="card" id="orders"' in text
    assert "<p>probes of today</p>" in text
    assert "a live race" not in text


def test_panic_needs_the_box_and_works_without_a_script(owner: Browser, tmp_path: Path) -> None:
    file = tmp_path / "db" / "sim" / "run" / "panic.json"
    assert owner.post("/panic", {"what": "panic"}).status_code == 400
    assert not file.exists()
    assert owner.post("/panic", {"what": "panic", "sure": "yes", "policy": "close"}).status_code == 303
    word = json.loads(file.read_text())
    assert (word["active"], word["policy"], word["by"]) == (True, "close", "fleet page")
    assert "Nothing is running" in owner.get("/panic").text
    owner.post("/panic", {"what": "resume", "sure": "yes"})
    after = json.loads(file.read_text())
    assert (after["active"], after["serial"] > word["serial"]) == (False, True)


def test_wrong_requests_are_said_and_change_nothing(owner: Browser, tmp_path: Path) -> None:
    for path, body in (
        ("panic", {"policy": "x"}),
        ("login", {"codes": []}),
        ("instances/a/stop", {"open": "x"}),
    ):
        answer = owner.call(path, body)
        assert (answer.status_code, answer.json["code"]) == (400, "INVALID_REQUEST"), path
    assert owner.call("instances/dhan/start").status_code == 502, "nothing runs here"
    assert not (tmp_path / "db" / "sim" / "run" / "panic.json").exists()


def test_open_streams_have_an_end(owner: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.console.api.MOST_TABS", 2)
    browser = Browser(owner.console)
    browser.post("/sign-in", OWNER)
    browser.console.watch.start()
    two = [browser.get("/web/api/stream") for _ in range(2)]
    assert browser.get("/web/api/stream").json["code"] == "TOO_MANY_TABS"
    two[0].close()
    again = browser.get("/web/api/stream")
    assert again.mimetype == "text/event-stream"
    again.close()
    two[1].close()
    browser.console.watch.stop()


@pytest.mark.parametrize("path", PAGES)
def test_the_first_load_of_a_page_is_small(owner: Browser, path: str) -> None:
    """As the instances' pages: what a browser loads before the first figure, packed."""
    page = owner.get(path).text
    urls = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))
    assert any(url.endswith(".js") for url in urls)
    sizes = {"": len(page.encode())}
    for url in urls:
        answer = owner.get(url, **{"Accept-Encoding": "gzip"})
        assert answer.status_code == 200, url
        sizes[url] = len(answer.data)
    assert sum(sizes.values()) <= MOST_FIRST_LOAD, sizes


def test_our_files_stand_in_for_the_instances(owner: Browser) -> None:
    assert "EventSource" in owner.get("/static/lib/live.js").text
    assert "Content-Security-Policy" not in owner.get("/static/lib/table.js").headers
    assert owner.get("/static/../owner.py").status_code == 404
