"""The head of a request: what is read, and what is refused because two readers could disagree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head import BadRequest, body_length, parse_head


def head(*lines: str, first: str = "POST /api/v1/ping?x=1 HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: 127.0.0.1:5000", *lines]).encode("latin-1")


def test_a_head_becomes_an_environ():
    environ = parse_head(head("Content-Type: application/json", "X-Algo-Internal:  k "))
    assert environ["REQUEST_METHOD"] == "POST"
    assert environ["PATH_INFO"] == "/api/v1/ping"
    assert environ["QUERY_STRING"] == "x=1"
    assert environ["CONTENT_TYPE"] == "application/json"
    assert environ["HTTP_X_ALGO_INTERNAL"] == "k"


def test_a_path_is_unquoted_to_its_bytes():
    assert parse_head(head(first="GET /a%2Fb%20c HTTP/1.1"))["PATH_INFO"] == "/a/b c"


def test_a_header_with_an_underscore_cannot_pose_as_one_with_a_dash():
    assert "HTTP_X_ALGO_INTERNAL" not in parse_head(head("X_Algo_Internal: guess"))


def test_repeated_headers_join_and_cookies_join_with_semicolons():
    environ = parse_head(head("Accept: a", "Accept: b", "Cookie: x=1", "Cookie: y=2"))
    assert environ["HTTP_ACCEPT"] == "a,b"
    assert environ["HTTP_COOKIE"] == "x=1; y=2"


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        (["Content-Length: 1", "Content-Length: 1"], "POST / HTTP/1.1"),
        (["Host: evil.example"], "POST / HTTP/1.1"),
        ([" folded: x"], "POST / HTTP/1.1"),
        (["name : x"], "POST / HTTP/1.1"),
        (["no colon"], "POST / HTTP/1.1"),
        (["X: a\nb"], "POST / HTTP/1.1"),
        ([], "POST  / HTTP/1.1"),
        ([], "POST http://evil/ HTTP/1.1"),
        ([], "PO ST / HTTP/1.1"),
        ([], "POST /a\rb HTTP/1.1"),
        ([], ""),
    ],
)
def test_what_can_be_read_in_two_ways_is_a_400(lines, first):
    with pytest.raises(BadRequest) as caught:
        parse_head(head(*lines, first=first))
    assert caught.value.status == 400


def test_http_1_1_without_a_host_is_a_400_and_2_0_a_505():
    with pytest.raises(BadRequest, match="Host is missing"):
        parse_head(b"GET / HTTP/1.1\r\nAccept: x")
    with pytest.raises(BadRequest) as caught:
        parse_head(head(first="GET / HTTP/2.0"))
    assert caught.value.status == 505


@pytest.mark.parametrize("text", ["-1", "+1", "1_0", " ", "0x10", "١", "1" * 16])
def test_a_content_length_that_is_not_plain_digits_is_refused(text):
    with pytest.raises(BadRequest, match="bad Content-Length"):
        body_length({"CONTENT_LENGTH": text})


def test_both_lengths_or_an_unknown_coding_are_refused():
    with pytest.raises(BadRequest, match="both"):
        body_length({"CONTENT_LENGTH": "3", "HTTP_TRANSFER_ENCODING": "chunked"})
    with pytest.raises(BadRequest) as caught:
        body_length({"HTTP_TRANSFER_ENCODING": "gzip, chunked"})
    assert caught.value.status == 501


def test_a_coding_in_http_1_0_is_refused():
    with pytest.raises(BadRequest, match=r"HTTP/1\.0"):
        body_length({"SERVER_PROTOCOL": "HTTP/1.0", "HTTP_TRANSFER_ENCODING": "chunked"})


def status_of(data: bytes) -> int:
    try:
        parse_head(data)
    except BadRequest as exc:
        return exc.status
    return 200


@given(st.binary(max_size=200))
def test_any_bytes_are_an_environ_or_a_bad_request(data):
    assert status_of(data) in (200, 400, 505)
