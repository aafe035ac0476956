"""Owner account, sign-in, CSRF, sign-out, and what a dashboard hears."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from brokers.clock import ManualClock
from gateway.http.server import Server
from gateway.web.access import OneTimeCode, WebSessions, next_day_end
from tests.gateway.api.rig import FREE, Rig, running

OWNER = {"username": "asha", "password": "correct horse battery"}


def form(client: FlaskClient, path: str, **fields: str) -> dict[str, str]:
    """The fields with the CSRF token of the page at ``path``."""
    page = client.get(path, follow_redirects=True).get_data(as_text=True)
    found = re.search(r'name="csrf_token" value="(\w+)"', page)
    assert found is not None, page
    return {"csrf_token": found[1], **fields}


def make_owner(rig: Rig, client: FlaskClient, **changes: str):
    fields = {"code": rig.code.current() or "", **OWNER, "repeat": OWNER["password"], **changes}
    return client.post("/setup", data=form(client, "/setup", **fields))


@pytest.fixture
def owned(rig: Rig) -> Rig:
    assert make_owner(rig, rig.app.test_client()).status_code == 303
    return rig


def sign_in(rig: Rig) -> FlaskClient:
    client = rig.app.test_client()
    assert client.post("/sign-in", data=form(client, "/sign-in", **OWNER)).status_code == 303
    return client


def test_the_one_time_code_makes_one_owner_and_signs_in(rig):
    client = rig.app.test_client()
    assert client.get("/").headers["Location"] == "/sign-in"
    assert client.get("/sign-in").headers["Location"] == "/setup"
    assert rig.internal("GET", "status").json["owner_code"] == rig.code.current()
    answer = make_owner(rig, client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/start")
    page = client.get("/").get_data(as_text=True)
    assert "asha" in page
    assert "simulated" in page
    assert rig.internal("GET", "status").json["owner_code"] is None
    assert rig.app.test_client().get("/setup").headers["Location"] == "/sign-in"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "AAAAA-AAAAA"}, "one-time code is not right"),
        ({"code": ""}, "one-time code is not right"),
        ({"password": "short", "repeat": "short"}, "at least 10 characters"),
        ({"repeat": "another password"}, "passwords differ"),
        ({"username": "1"}, "user name needs"),
        (
            {"username": "correct.horse", "password": "correct.horse", "repeat": "correct.horse"},
            "must not be",
        ),
    ],
)
def test_a_wrong_owner_form_says_what_is_wrong_and_keeps_the_code(rig, changes, words):
    code = rig.code.current()
    answer = make_owner(rig, rig.app.test_client(), **changes)
    assert answer.status_code == 400
    assert words in answer.get_data(as_text=True)
    assert rig.code.current() == code
    assert not rig.parts.users.exists()


def test_two_at_the_same_moment_make_one_owner():
    code = OneTimeCode(needed=True)
    text = code.current() or ""
    won: list[bool] = []
    threads = [threading.Thread(target=lambda: won.append(code.spend(text.lower()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 7 + [True]


def test_a_wrong_name_and_a_wrong_password_look_the_same(owned):
    client = owned.app.test_client()
    answers = []
    for fields in ({**OWNER, "password": "wrong password"}, {**OWNER, "username": "nobody"}):
        data = form(client, "/sign-in", **fields)
        page = client.post("/sign-in", data=data)
        answers.append((page.status_code, page.get_data(as_text=True).replace(data["csrf_token"], "")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


@pytest.mark.parametrize("path", ["/sign-in", "/setup", "/sign-out"])
@pytest.mark.parametrize("token", [None, "", "0" * 64])
def test_a_form_without_its_csrf_token_does_nothing(owned, path, token):
    client = sign_in(owned)
    fields = {**OWNER, "code": "x"} | ({} if token is None else {"csrf_token": token})
    assert client.post(path, data=fields).status_code == 403
    assert client.get("/").status_code == 200, "still signed in"


def test_the_csrf_token_of_one_browser_is_no_good_in_another(owned):
    mine, theirs = owned.app.test_client(), owned.app.test_client()
    form(mine, "/sign-in")
    stolen = form(theirs, "/sign-in", **OWNER)
    assert mine.post("/sign-in", data=stolen).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_a_form_from_another_site_does_nothing_even_with_a_token(owned, headers):
    client = owned.app.test_client()
    data = form(client, "/sign-in", **OWNER)
    assert client.post("/sign-in", data=data, headers=headers).status_code == 403


def test_cookies_are_named_per_instance_and_closed_to_scripts(owned):
    client = sign_in(owned)
    answer = client.get("/sign-in")
    assert answer.status_code == 303
    session, csrf = client.get_cookie("session_dhan"), client.get_cookie("csrf_token_dhan")
    assert session is not None
    assert csrf is not None
    assert (session.http_only, session.same_site) == (True, "Lax")
    assert (csrf.http_only, csrf.same_site) == (True, "Strict")


def test_sign_out_ends_the_session_also_for_a_copy_of_the_cookie(owned):
    client = sign_in(owned)
    copy = client.get_cookie("session_dhan").value
    assert client.post("/sign-out", data=form(client, "/")).status_code == 303
    thief = owned.app.test_client()
    thief.set_cookie("session_dhan", copy)
    assert thief.get("/").status_code == 303


def test_a_web_session_ends_at_three_in_the_morning_ist():
    assert next_day_end(datetime(2026, 11, 20, 5, tzinfo=UTC)) == datetime(2026, 11, 20, 21, 30, tzinfo=UTC)
    assert next_day_end(datetime(2026, 11, 20, 21, tzinfo=UTC)) == datetime(2026, 11, 20, 21, 30, tzinfo=UTC)


def test_an_ended_web_session_is_nobody(owned):
    clock = ManualClock(datetime(2026, 11, 20, 5, tzinfo=UTC))
    sessions = WebSessions(clock)
    with owned.app.test_request_context():
        sessions.sign_in(7)
        assert sessions.user_id() == 7
        clock.set(datetime(2026, 11, 20, 21, 31, tzinfo=UTC))
        assert sessions.user_id() is None


def test_sign_ins_are_limited(tmp_path):
    with running(tmp_path, rates=replace(FREE, login_minute="3 per minute"), reconciled=False) as rig:
        client = rig.app.test_client()
        fields = form(client, "/setup", code="AAAAA-AAAAA")
        statuses = [client.post("/setup", data=fields).status_code for _ in range(4)]
        assert statuses == [400, 400, 400, 429]


@pytest.fixture
def server(owned: Rig) -> Iterator[Server]:
    one = Server(owned.app, "127.0.0.1", 0)
    threading.Thread(target=one.serve_forever, daemon=True).start()
    yield one
    one.stop()


def socket_url(server: Server) -> str:
    return f"ws://127.0.0.1:{server.port}/socket.io/?EIO=4&transport=websocket"


def test_socket_io_is_for_signed_in_sessions_of_the_own_origin(owned, server):
    with pytest.raises(InvalidStatus) as caught:
        connect(socket_url(server), proxy=None)
    assert caught.value.response.status_code == 401
    cookie = f"session_dhan={sign_in(owned).get_cookie('session_dhan').value}"
    headers = {"Cookie": cookie}
    with pytest.raises(InvalidStatus) as caught:
        connect(socket_url(server), additional_headers=headers, origin="http://evil.example", proxy=None)
    assert caught.value.response.status_code == 403


def test_a_page_hears_books_and_state_until_it_signs_out(owned, server):
    client = sign_in(owned)
    cookie = f"session_dhan={client.get_cookie('session_dhan').value}"
    owned.live.start()
    origin = f"http://127.0.0.1:{server.port}"
    with connect(socket_url(server), additional_headers={"Cookie": cookie}, origin=origin, proxy=None) as ws:
        assert ws.recv(5).startswith("0{")
        ws.send("40")
        books = _until_event(ws, "books")
        assert books["funds"]["row"]["availablecash"] == "320.60"
        assert books["orders"]["rows"] == []
        seen = _until_event(ws, "state")
        assert seen["state"]["instance"] == "dhan"
        assert seen["feed"]["feed"]["state"] == "not running"
        owned.internal("POST", "order-mode", {"mode": "semi_auto"})
        queued_id = owned.place().json["pending_order_id"]
        told = _until_event(ws, "pending_order_created")
        assert (told["pending_order_id"], told["order"]["symbol"]) == (queued_id, "SBIN")
        assert "apikey" not in told["order"]
        client.post("/sign-out", data=form(client, "/"))
        end = time.monotonic() + 5
        while owned.live.tabs:
            assert time.monotonic() < end, "the tab is still open"
            time.sleep(0.01)


def _until_event(ws, name: str):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        frame = ws.recv(5)
        if frame == "2":
            ws.send("3")
        if frame.startswith(f'42["{name}"'):
            return json.loads(frame[2:])[1]
    raise AssertionError(f"no {name}")
