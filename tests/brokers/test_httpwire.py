"""An answer is read whole or not at all; a request cannot become two."""

from __future__ import annotations

import gzip
import http.client
import io
import zlib
from collections.abc import Callable

import pytest

from brokers.httpwire import Answer, Torn, request

BODY = b'{"orderId": "1"}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n" + BODY
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
    b"7;x=y\r\n" + BODY[:7] + b"\r\n9\r\n" + BODY[7:] + b"\r\n0\r\nTrailer: t\r\n\r\n"
)


def pieces(data: bytes, size: int) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)
    return lambda most: stream.read(min(most, size))


def read(data: bytes, size: int = 1 << 20, method: str = "POST") -> Answer:
    return Answer(pieces(data, size), method)


@pytest.mark.parametrize("data", [PLAIN, CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 4096])
def test_an_answer_is_the_same_however_it_arrives(data, size):
    answer = read(data, size)
    assert (answer.status, answer.body, answer.keep) == (200, BODY, True)


@pytest.mark.parametrize("data", [PLAIN, CHUNKED], ids=["length", "chunked"])
def test_an_answer_cut_anywhere_is_torn(data):
    for end in range(len(data)):
        with pytest.raises(Torn):
            read(data[:end])


def test_repeated_headers_are_joined():
    assert read(CHUNKED).headers["x-a"] == "1, 2"


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200\r\n", True),
    ],
)
def test_a_connection_is_kept_as_its_version_and_header_say(head, keep):
    assert read(head + b"Content-Length: 0\r\n\r\n").keep is keep


def test_a_body_without_length_ends_with_the_connection():
    answer = read(b"HTTP/1.1 200 OK\r\n\r\n" + BODY, 5)
    assert (answer.body, answer.keep) == (BODY, False)


def test_bytes_behind_an_answer_do_not_hurt_it_and_end_the_connection():
    answer = read(PLAIN + b"\r\n")
    assert (answer.body, answer.keep) == (BODY, False)


def test_an_early_hint_is_not_the_answer():
    hint = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert read(hint + PLAIN, 9).body == BODY


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head(status):
    assert read(b"HTTP/1.1 %d X\r\nContent-Length: 5\r\n\r\n" % status).body == b""
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", method="HEAD").body == b""


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n",
        b"HTTP/1.1 200 OK\r\n folded: b\r\n",
        b"HTTP/2 200 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"<html>\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_torn(head):
    with pytest.raises(Torn):
        read(head + b"\r\n" + b"ok0")


def test_the_same_length_twice_is_one_length():
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok").body == b"ok"


@pytest.mark.parametrize(
    ("coding", "squeeze"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda b: zlib.compress(b, wbits=-15))],
)
def test_an_encoding_nobody_asked_for_is_read(coding, squeeze):
    body = squeeze(BODY * 50)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: ".encode()
    assert read(head + b"%d\r\n\r\n" % len(body) + body).body == BODY * 50
    with pytest.raises(Torn):
        read(head + b"%d\r\n\r\n" % (len(body) - 9) + body[:-9])


def test_python_reads_a_request_as_we_meant_it():
    wire = request("POST", "/v2/orders?x=%7C", "api.example:81", {"Accept": "a", "Auth": "t"}, BODY, "me")
    first, _, rest = wire.partition(b"\r\n")
    assert first == b"POST /v2/orders?x=%7C HTTP/1.1"
    stream = io.BytesIO(rest)
    headers = dict(http.client.parse_headers(stream).items())
    assert headers == {
        "Host": "api.example:81",
        "Accept-Encoding": "identity",
        "User-Agent": "me",
        "Content-Length": "16",
        "Accept": "a",
        "Auth": "t",
    }
    assert stream.read() == BODY


def test_a_post_without_a_body_says_so_and_a_get_says_nothing():
    assert b"Content-Length: 0\r\n" in request("POST", "/", "h", {}, None, "me")
    assert b"Content-Length" not in request("GET", "/", "h", {}, None, "me")


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: y", {}),
        ("a", {}),
        ("/ä", {}),
        ("/", {"X": "a\r\nY: b"}),
        ("/", {"X\r\nY": "b"}),
        ("/", {"X ": "b"}),
        ("/", {"Content-Length": "5"}),
        ("/", {"X": "€"}),
    ],
)
def test_a_request_that_could_be_two_is_not_made(target, headers):
    with pytest.raises(ValueError):  # noqa: PT011 - some of Python's own words
        request("GET", target, "h", headers, None, "me")
