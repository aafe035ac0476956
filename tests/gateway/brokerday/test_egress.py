"""The address orders leave from: asked only when told to, compared by kind, never guessed."""

from __future__ import annotations

import http.server
import threading
from datetime import UTC, datetime

import pytest

from brokers.clock import ManualClock
from brokers.errors import BrokerDown
from brokers.transport import Transport
from gateway.brokerday.egress import EgressWatch, address_of, judge

NOW = datetime(2026, 11, 20, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seen", "registered", "state"),
    [
        ("203.0.113.9", ("203.0.113.9",), "match"),
        ("203.0.113.9", ("198.51.100.1", "203.0.113.9"), "match"),
        ("203.0.113.9", ("198.51.100.1",), "mismatch"),
        ("203.0.113.9", (), "unregistered"),
        ("2001:db8::1", ("203.0.113.9",), "unknown"),
        ("2001:db8::1", ("203.0.113.9", "2001:db8::2"), "mismatch"),
    ],
)
def test_addresses_are_compared_with_those_of_their_kind(seen, registered, state):
    found = judge(seen, registered, NOW)
    assert found.state == state
    assert (found.reason == "") == (state == "match")


@pytest.mark.parametrize("body", [b"", b"<html>sign in</html>", b"203.0.113.9 " * 30, b"\xff", b"300.1.1.1"])
def test_what_is_no_address_is_none(body):
    with pytest.raises(ValueError, match=r"."):
        address_of(body)
    assert address_of(b" 203.0.113.9\n") == "203.0.113.9"


@pytest.fixture
def echo():
    """A service that tells an address; ``said`` is what it answers."""

    class Tell(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            status, body = self.server.said
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Tell)
    server.said, server.asked = (200, b"203.0.113.9\n"), 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_look_compares_with_the_broker_s_word_and_says_what_it_could_not(echo):
    registered = ["198.51.100.1"]

    def of_broker():
        if not registered:
            raise BrokerDown("no answer")
        return tuple(registered)

    transport = Transport(read_retries=0)
    watch = EgressWatch(f"http://127.0.0.1:{echo.server_port}/", of_broker, ManualClock(NOW), transport)
    assert watch.last.state == "unknown"
    found = watch.look()
    assert (found.state, found.seen, found.registered) == ("mismatch", "203.0.113.9", ("198.51.100.1",))
    assert "203.0.113.9" in found.reason
    registered[:] = ["203.0.113.9"]
    assert watch.look().state == "match"
    registered.clear()
    assert watch.look().state == "unknown"
    registered[:] = ["203.0.113.9"]
    echo.said = (503, b"")
    assert (watch.look().state, "HTTP 503" in watch.last.reason) == ("unknown", True)


def test_without_a_url_nobody_is_asked(echo):
    def never():
        raise AssertionError("asked")

    watch = EgressWatch("", never, ManualClock(NOW), Transport())
    watch.start()
    assert watch.look().state == "off"
    assert not watch._thread.is_alive()
    assert echo.asked == 0
    watch.stop()
