"""What an answer of a child says of it."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.children.policy import Need
from supervisor.status import health_of

MUTE = {"feed": {"state": "silent", "trouble": "no frame for 10 s"}}


@pytest.mark.parametrize(
    ("ready", "reason", "body", "found"),
    [
        (True, "", {}, (True, "", Need.OTHER)),
        (True, "", {"feed": {"state": "live", "trouble": ""}}, (True, "", Need.OTHER)),
        (True, "", MUTE, (False, "the broker feed: no frame for 10 s", Need.OTHER)),
        (False, "the ZeroMQ socket", MUTE, (False, "the ZeroMQ socket", Need.OTHER)),
        (False, "no session", {"broker_session": {"state": "refused"}}, (False, "no session", Need.LOGIN)),
        (False, "closed", {"market_open": False}, (False, "closed", Need.OPEN_MARKET)),
    ],
)
def test_a_feed_that_serves_and_hears_nothing_is_not_well(
    ready: bool, reason: str, body: dict[str, Any], found: tuple[bool, str, Need]
) -> None:
    assert health_of(ready, reason, body) == found
