"""Web sessions: whose they are, when they end, what a planted or copied cookie is worth."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime

import pytest
from flask.sessions import SecureCookieSessionInterface
from websockets.sync.client import connect

from brokers.clock import ManualClock
from gateway.web.access import WebSessions
from tests.gateway.web.people import OWNER, cookie, make_owner, post, sign_in, token

MORNING = datetime(2026, 11, 20, 5, tzinfo=UTC)
NEXT_NIGHT = datetime(2026, 11, 20, 21, 31, tzinfo=UTC)


def forged(rig, key: str, **values: object) -> str:
    """A session cookie signed with a key of one's choice."""
    own = rig.app.config["SECRET_KEY"]
    rig.app.config["SECRET_KEY"] = key
    serializer = SecureCookieSessionInterface().get_signing_serializer(rig.app)
    rig.app.config["SECRET_KEY"] = own
    assert serializer is not None
    text = serializer.dumps({"uid": 1, "sid": "f" * 32, "until": time.time() + 3600, **values})
    return str(text)


def test_a_planted_session_is_not_the_one_after_the_sign_in(rig):
    make_owner(rig)
    attacker = sign_in(rig)
    victim = rig.app.test_client()
    victim.set_cookie("session_dhan", cookie(attacker))
    # signed in as the attacker's session: the page does not ask, so the victim signs out first
    victim.post("/sign-out", data={"csrf_token": token(victim, "/")})
    assert post(victim, "/sign-in", OWNER).status_code == 303
    assert cookie(victim) != cookie(attacker)
    assert attacker.get("/").status_code == 303, "the planted one is worthless now"
    assert victim.get("/").status_code == 200


def test_every_sign_in_has_its_own_session_and_form_token(rig):
    make_owner(rig)
    client = rig.app.test_client()
    before = token(client)
    client.post("/sign-in", data={"csrf_token": before, **OWNER})
    first = cookie(client)
    assert client.post("/sign-out", data={"csrf_token": before}).status_code == 403, "the token of before"
    assert cookie(sign_in(rig)) != first


@pytest.mark.parametrize("key", ["x" * 40, ""])
def test_a_cookie_signed_by_somebody_else_is_nobody(rig, key):
    make_owner(rig)
    client = rig.app.test_client()
    client.set_cookie("session_dhan", forged(rig, key or "k" * 39))
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "changes", [{"until": "9" * 20}, {"uid": "1"}, {"sid": 7}, {"until": 1.0}, {"uid": 99}]
)
def test_a_well_signed_cookie_of_the_wrong_shape_is_nobody(rig, changes):
    make_owner(rig)
    client = rig.app.test_client()
    client.set_cookie("session_dhan", forged(rig, rig.app.config["SECRET_KEY"], **changes))
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(("scheme", "secure"), [("https", True), ("http", False)])
def test_behind_a_tls_proxy_the_cookies_travel_over_tls_only(rig, scheme, secure):
    make_owner(rig)
    answer = post(rig.app.test_client(), "/sign-in", OWNER, Origin=f"{scheme}://localhost")
    cookies = answer.headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    assert ["; Secure" in text for text in cookies] == [secure, secure]
    assert all("; HttpOnly" in text and "; SameSite=" in text and "Domain" not in text for text in cookies)


def test_a_sign_out_outlives_a_restart(rig):
    make_owner(rig)
    client = sign_in(rig)
    copy = cookie(client)
    client.post("/sign-out", data={"csrf_token": token(client, "/")})
    again = WebSessions(rig.parts.clock, rig.parts.users._database)
    with rig.app.test_request_context(headers={"Cookie": f"session_dhan={copy}"}):
        assert again.user_id() is None
    other = sign_in(rig)
    with rig.app.test_request_context(headers={"Cookie": f"session_dhan={cookie(other)}"}):
        assert again.user_id() is not None


def test_sign_outs_are_forgotten_once_the_session_would_have_ended(rig):
    clock = ManualClock(MORNING)
    sessions = WebSessions(clock)
    for _ in range(3):
        with rig.app.test_request_context():
            sessions.sign_in(1)
            sessions.sign_out()
        clock.set(NEXT_NIGHT)
    assert len(sessions._revoked) == 2


def test_an_open_tab_ends_with_its_web_session(rig, server, monkeypatch):
    make_owner(rig)
    client = sign_in(rig)
    rig.live.start()
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    with connect(url, additional_headers={"Cookie": f"session_dhan={cookie(client)}"}, proxy=None) as ws:
        assert ws.recv(5).startswith("0{")
        ws.send("40")
        while not ws.recv(5).startswith('42["state"'):
            pass
        clock = ManualClock(datetime.now(UTC))
        clock.advance(25 * 3600)
        monkeypatch.setattr(rig.live._sessions, "_clock", clock)
        assert answer_to(ws) == "41", "told to go"
        assert rig.live.tabs == 0
        ws.send("40")
        assert answer_to(ws).startswith("44"), "and not let in again with the old cookie"


def answer_to(ws) -> str:
    """The next frame that is neither a ping nor an event."""
    while True:
        frame = str(ws.recv(5))
        if frame == "2":
            ws.send("3")
        elif not frame.startswith("42"):
            return frame


def test_a_dashboard_hears_its_state_and_books(rig, server):
    make_owner(rig)
    client = sign_in(rig)
    rig.live.start()
    url = f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"
    with connect(url, additional_headers={"Cookie": f"session_dhan={cookie(client)}"}, proxy=None) as ws:
        ws.recv(5)
        ws.send("40")
        seen: dict[str, dict] = {}
        while not {"state", "books"} <= seen.keys():
            frame = str(ws.recv(5))
            if frame.startswith("42["):
                name, body = json.loads(frame[2:])
                seen[name] = body
    state, books = seen["state"], seen["books"]
    assert abs(state["now_ms"] - time.time() * 1000) < 60_000
    assert state["desk"]["blocked"] == ""
    assert state["mode"] == "live"
    assert [rate["seconds"] for rate in state["rates"]] == [1.1, 60, 3600, 86400]
    assert "free" not in books["funds"]["row"], "this broker does not say"


def test_signing_out_everywhere_ends_every_browser(rig):
    make_owner(rig)
    here, there = sign_in(rig), sign_in(rig)
    page = here.get("/settings").get_data(as_text=True)
    assert len(re.findall(r"since \d\d \w{3} \d\d:\d\d IST", page)) >= 2
    assert "this one" in page
    form = {"csrf_token": token(here, "/"), "everywhere": "yes"}
    assert here.post("/sign-out", data=form).status_code == 303
    for client in (here, there):
        assert client.get("/settings").status_code == 303, "signed out"
    assert sign_in(rig).get("/settings").status_code == 200, "a new one is no part of that"


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml", "*/*"])
def test_a_page_that_fails_answers_a_person_with_a_page(rig, monkeypatch, accept):
    make_owner(rig)
    client = sign_in(rig)
    monkeypatch.setattr("gateway.web.riskpage.view", lambda limits: 1 // 0)
    answer = client.get("/settings", headers={"Accept": accept})
    assert answer.status_code == 500
    if accept.startswith("text/html"):
        assert "Something went wrong" in answer.get_data(as_text=True)
    else:
        assert answer.json["status"] == "error"
    scripts = client.get("/web/api/nothing", headers={"Accept": accept})
    assert scripts.json["code"] == "NOT_FOUND", "a script gets JSON whatever it accepts"
