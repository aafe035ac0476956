"""Whose address counts behind proxies, and who may not choose it."""

from __future__ import annotations

import pytest

from brokers.errors import SettingsError
from gateway.http.gate import Gate
from gateway.http.proxies import client, networks

OURS = networks("127.0.0.1, 10.0.0.0/8,::1", "x")


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "198.51.100.1, 10.1.2.3", "198.51.100.1"),
        # the caller wrote the first word itself
        ("127.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "unknown", "127.0.0.1"),
        ("127.0.0.1", "10.0.0.5", "10.0.0.5"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_nearest_address_no_trusted_proxy_has(peer: str, forwarded: str, expected: str) -> None:
    assert client(peer, forwarded, OURS) == expected


def test_what_is_no_network_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"dhan\.env line 3: TRUSTED_PROXIES: .*localhost"):
        networks("localhost", "dhan.env line 3")


@pytest.mark.parametrize(("trusted", "seen"), [((), "127.0.0.1"), (OURS, "198.51.100.1")])
def test_the_gate_believes_only_whom_the_settings_name(trusted, seen: str) -> None:
    found = []

    def app(environ, start_response):
        found.append(environ["REMOTE_ADDR"])
        start_response("200 OK", [])
        return [b""]

    gate = Gate(app, allowed_hosts=["127.0.0.1"], may_listen=lambda _: False, trusted_proxies=trusted)
    environ = {
        "PATH_INFO": "/x",
        "REQUEST_METHOD": "GET",
        "HTTP_HOST": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_FORWARDED_FOR": "198.51.100.1",
    }
    gate(environ, lambda *_: None)
    assert found == [seen]
