"""What the fleet page is told of an instance in one call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.api.rig import Rig, running
from tests.gateway.web.people import make_owner, sign_in

PATH = "/internal/fleet"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as one:
        yield one


def look(rig: Rig, known: str = "") -> dict[str, Any]:
    key = {"X-Algo-Internal": rig.parts.settings.internal_key.reveal()}
    answer = rig.app.test_client().get(f"{PATH}?known={known}", headers=key)
    assert answer.status_code == 200, answer.get_data()
    return dict(answer.json)


def test_it_is_for_processes_of_this_machine_only(rig):
    make_owner(rig)
    for client in (rig.app.test_client(), sign_in(rig)):
        assert client.get(PATH).status_code == 403
        assert client.get(PATH, headers={"X-Algo-Internal": "x"}).status_code == 403


def test_it_holds_no_secret(rig):
    found = look(rig)
    assert rig.code.current()
    assert rig.code.current() not in str(found)
    assert found["broker_session"]["state"] == "valid"
    assert found["version"]
    assert found["token_issued_at"]


def test_the_last_order_tells_its_round_trip(rig):
    assert look(rig)["round_trip"] is None
    rig.place()
    trip = look(rig)["round_trip"]
    assert trip["ms"] >= 0
    assert trip["at_ms"] > 0


def test_books_are_sent_once(rig):
    first = look(rig)
    assert first["books"]["orders"]["rows"] == []
    again = look(rig, str(first["books_version"]))
    assert (again["books"], again["books_version"]) == (None, first["books_version"])
    assert look(rig, "-1")["books"] is not None


@pytest.mark.parametrize("late", [True, False])
def test_books_are_read_again_after_an_order_and_seldom_else(rig, monkeypatch: pytest.MonkeyPatch, late):
    reads: list[int] = []
    live_books = type(rig.live).books
    monkeypatch.setattr(type(rig.live), "books", lambda self: reads.append(1) or live_books(self))
    look(rig)
    look(rig)
    assert len(reads) == 1
    if late:
        monkeypatch.setattr("gateway.web.fleetapi.BOOKS_S", 0.0)
    else:
        rig.place()
    look(rig)
    assert len(reads) == 2
