"""What a page in the next tab, a guesser and a crafted request get: nothing."""

from __future__ import annotations

import http.client
import re

import pytest

from gateway.http.gate import caller, from_elsewhere
from gateway.pagekit.hues import HUES, hue_of
from tests.gateway.web.people import OWNER, cookie, make_owner, post, sign_in, token

POLLING = "/socket.io/?EIO=4&transport=polling"
CROSS = [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://127.0.0.1:1"}]


def ask(server, path: str, **headers: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        client.request("GET", path, headers={n.replace("_", "-"): v for n, v in headers.items()})
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


@pytest.mark.parametrize("headers", CROSS)
def test_another_pages_request_hears_nothing_even_with_the_cookie(rig, server, headers):
    make_owner(rig)
    signed = {"Cookie": f"session_dhan={cookie(sign_in(rig))}"}
    assert ask(server, POLLING, **signed, Sec_Fetch_Site="same-origin")[0] == 200
    status, body = ask(server, POLLING, **signed, **headers)
    assert (status, b"ORIGIN_NOT_ALLOWED" in body) == (403, True)


@pytest.mark.parametrize("query", ["&j=0", "&j=", "&J=0&j=1"])
def test_jsonp_is_not_spoken(rig, server, query):
    make_owner(rig)
    status, body = ask(server, POLLING + query, Cookie=f"session_dhan={cookie(sign_in(rig))}")
    assert (status, b"___eio" in body) == (403, False)


@pytest.mark.parametrize(
    ("headers", "elsewhere"),
    [
        ({}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, False),
        ({"HTTP_SEC_FETCH_SITE": "none"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, True),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, True),
        ({"HTTP_ORIGIN": "http://127.0.0.1:5000"}, False),
        ({"HTTP_ORIGIN": "http://127.0.0.1:5001"}, True),
        ({"HTTP_ORIGIN": "null"}, True),
    ],
)
def test_pages_elsewhere_have_a_rate_limit_of_their_own(headers, elsewhere):
    environ = {"HTTP_HOST": "127.0.0.1:5000", "REMOTE_ADDR": "127.0.0.1", **headers}
    assert from_elsewhere(environ) is elsewhere
    assert (caller(environ) != "127.0.0.1") is elsewhere


def test_posts_of_another_page_cost_the_owner_no_tries(strict):
    make_owner(strict)
    evil = strict.app.test_client()
    for _ in range(30):
        evil.post("/sign-in", data=OWNER, headers={"Sec-Fetch-Site": "cross-site"})
        evil.post("/sign-in", data=OWNER)  # and one that carries no token at all
    sign_in(strict)


def test_api_calls_of_another_page_cost_a_strategy_nothing(strict):
    for _ in range(10):
        strict.post("ping", headers={"Origin": "http://evil.example"}, apikey="x")
    assert strict.post("ping").status_code == 200


def test_guessing_ends_also_for_the_right_password(strict):
    make_owner(strict)
    client = strict.app.test_client()
    guesses = [post(client, "/sign-in", {**OWNER, "password": f"guess {n:06}"}).status_code for n in range(5)]
    assert guesses == [401, 401, 401, 401, 429], "the owner's own form was the first of five"
    answer = post(client, "/sign-in", OWNER)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 1
    assert "Too many tries" in answer.get_data(as_text=True)


def test_guessing_the_one_time_code_ends_and_the_code_stays(strict):
    code = strict.code.current()
    client = strict.app.test_client()
    tries = [make_owner(strict, client, code=f"AAAAA-AAAA{n}").status_code for n in range(2, 8)]
    assert tries == [400] * 5 + [429]
    assert strict.code.current() == code
    assert not strict.parts.users.exists()


def test_the_one_time_code_is_worth_nothing_twice(rig):
    code = rig.code.current()
    make_owner(rig)
    again = make_owner(rig, username="mallory", code=code)
    assert (again.status_code, again.headers["Location"]) == (303, "/sign-in")
    assert rig.parts.users.verify("mallory", OWNER["password"]) is None


def test_signing_out_is_never_refused_for_too_many_tries(strict):
    make_owner(strict)
    client = sign_in(strict)
    form = token(client, "/")
    for _ in range(6):
        post(strict.app.test_client(), "/sign-in", {**OWNER, "password": "a wrong password"})
    assert client.post("/sign-out", data={"csrf_token": form}).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/pages.py",
        "/static/..%5cpages.py",
        "/static/vendor/../../pages.py",
        "/static/....//pages.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/",
        "/static/vendor",
    ],
)
def test_static_files_end_at_their_folder(server, path):
    status, body = ask(server, path)
    assert status == 404
    assert b"blueprint" not in body
    assert b"root:" not in body


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example/%2f..",
        "/\\evil.example",
        "/setup/",
        "/%0d%0aSet-Cookie:%20x=1",
        "//evil.example",
        "/sign-in/..//evil.example",
        "/<script>alert(1)</script>",
    ],
)
def test_a_crafted_path_leads_nowhere_and_is_not_echoed_as_markup(server, path):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    client.request("GET", path)
    answer = client.getresponse()
    assert answer.status == 404
    assert answer.getheader("Location") is None
    assert answer.getheader("Set-Cookie") in (None, "") or "x=1" not in answer.getheader("Set-Cookie", "")
    is_markup = answer.getheader("Content-Type", "").startswith("text/html")
    assert b"<script>alert" not in answer.read() or not is_markup
    client.close()


@pytest.mark.parametrize("name", ["next", "url", "redirect", "return_to"])
def test_a_sign_in_leads_to_the_dashboard_whatever_the_address_says(rig, name):
    make_owner(rig)
    client = rig.app.test_client()
    answer = post(client, f"/sign-in?{name}=http://evil.example/", {**OWNER, name: "http://evil.example/"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_what_a_form_brings_is_shown_as_text(rig):
    answer = make_owner(rig, username='"><script>alert(1)</script>')
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert "<script>alert" not in page
    assert "&#34;&gt;&lt;script&gt;" in page


def test_a_page_names_its_host_in_the_policy_and_nothing_more(rig):
    page = rig.app.test_client().get("/setup", headers={"Host": "127.0.0.1:5000; script-src *"})
    assert page.status_code == 403
    policy = (
        rig.app.test_client()
        .get("/setup", headers={"Host": "127.0.0.1:5000"})
        .headers["Content-Security-Policy"]
    )
    feed = f"127.0.0.1:{rig.parts.settings.ws_port}"
    places = f"'self' ws://127.0.0.1:5000 wss://127.0.0.1:5000 ws://{feed} wss://{feed};"
    assert f"connect-src {places}" in policy
    assert "require-trusted-types-for 'script'" in policy


@pytest.mark.parametrize("path", ["/setup", "/static/style.css", "/health/live", "/internal/status"])
def test_no_other_origin_may_embed_what_is_served(rig, path):
    answer = rig.app.test_client().get(path)
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_an_instance_keeps_its_colour_and_kotak_is_not_dhan(rig):
    assert hue_of("kotak") != hue_of("dhan")
    assert all(
        hue_of(name) not in (hue_of("kotak"), hue_of("dhan")) for name in ("a", "b", "zerodha", "dhan2")
    )
    client = rig.app.test_client()
    style = client.get("/static/style.css").get_data(as_text=True)
    for number in range(HUES):
        found = re.search(rf"\.hue-{number} {{ --hue: (#\w+); }}", style)
        assert found is not None
        assert found[1] in client.get(f"/static/icon-{number}.svg").get_data(as_text=True)
    assert f'class="hue-{hue_of("dhan")}"' in client.get("/setup").get_data(as_text=True)
