"""What is shown of a fleet, and what is amber or red."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.pagekit.hues import hue_of
from supervisor.console import judge, words
from supervisor.console.gather import Heard
from tests.supervisor.console.rig import MORNING, order, row, seen
from tests.supervisor.test_plan import make

NOW = MORNING + timedelta(hours=1)


def card(one: dict[str, Any], **heard: Any) -> dict[str, Any]:
    look = seen(one, heard={one["name"]: Heard(**heard)})
    [found] = judge.fleet(look, NOW)["cards"]
    return dict(found)


def levels(found: dict[str, Any]) -> dict[str, str]:
    return {fact["id"]: fact["level"] for fact in found["facts"]}


def test_a_healthy_instance_is_green() -> None:
    found = card(row(), status={"token_issued_at": MORNING.isoformat(), "round_trip": None})
    assert (found["level"], found["notes"], found["running"]) == ("good", [], True)
    assert not {"warn", "bad"} & set(levels(found).values())
    token = next(fact["text"] for fact in found["facts"] if fact["id"] == "token")
    assert token == "60 min old, 12 h left"


@pytest.mark.parametrize(
    ("state", "level"),
    [
        ("wedged", "bad"),
        ("failed", "bad"),
        ("backoff", "bad"),
        ("unsupervised", "bad"),
        ("degraded", "warn"),
        ("login-needed", "warn"),
        ("starting", "warn"),
        ("a state nobody foresaw", "warn"),
    ],
)
def test_a_state_colours_the_card(state: str, level: str) -> None:
    found = card(row(state=state))
    assert (found["state_level"], found["level"]) == (level, level)


@pytest.mark.parametrize(
    ("changes", "fact", "level"),
    [
        ({"last_tick_age_s": 2.9}, "tick", ""),
        ({"last_tick_age_s": 3.0}, "tick", "warn"),
        ({"last_tick_age_s": 10.0}, "tick", "bad"),
        ({"last_tick_age_s": 99.0, "subscribed": 0}, "tick", ""),
        ({"feed_state": "connecting"}, "feed", "warn"),
        ({"feed_state": "off"}, "feed", ""),
        ({"broker_session": {"state": "expired"}}, "session", "bad"),
        ({"broker_session": {"state": "valid", "expires_at": "2026-11-20T06:50:00+00:00"}}, "token", "warn"),
        ({"broker_session": {"state": "valid", "expires_at": "2026-11-20T06:09:00+00:00"}}, "token", "bad"),
        ({"broker_session": {"state": "valid", "expires_at": "2026-11-20T05:59:00+00:00"}}, "token", "bad"),
        ({"restarts": 1}, "restarts", "warn"),
        ({"restarts": 5}, "restarts", "bad"),
    ],
)
def test_numbers_past_their_thresholds(changes: dict[str, Any], fact: str, level: str) -> None:
    found = card(row(**changes))
    assert levels(found)[fact] == level
    assert found["level"] == (level or found["level"])


@pytest.mark.parametrize(("ms", "level"), [(12.5, ""), (500.0, "warn"), (2000.0, "bad")])
def test_a_slow_order_is_seen(ms: float, level: str) -> None:
    found = card(row(), status={"round_trip": {"ms": ms, "at_ms": int(NOW.timestamp() * 1000) - 3000}})
    assert levels(found)["trip"] == level


@pytest.mark.parametrize(("memory_mb", "level"), [(400.0, ""), (480.0, "warn"), (600.0, "bad")])
def test_use_is_judged_by_the_process_nearest_to_its_limit(
    tmp_path: Path, memory_mb: float, level: str
) -> None:
    one = row()
    one["children"][1]["usage"] = {**one["children"][1]["usage"], "memory_mb": memory_mb}
    look = seen(one, settings={"dhan": make(tmp_path, "dhan")})
    found = judge.fleet(look, NOW)["cards"][0]
    assert levels(found)["memory"] == level
    assert levels(found)["cpu"] == ""


@pytest.mark.parametrize(("free_mb", "level"), [(80_000, ""), (5_000, "warn"), (900, "bad")])
def test_a_full_disk_is_seen(free_mb: int, level: str) -> None:
    found = judge.fleet(seen(disk=(200_000_000_000, free_mb * 1_000_000)), NOW)
    assert {fact["id"]: fact["level"] for fact in found["machine"]}["disk"] == level


def test_orders_of_unknown_outcome_and_a_mute_api_are_red() -> None:
    unknown = card(row(), status={"desk": {"unknown": 2}})
    assert unknown["level"] == "bad"
    assert any("do not send them again" in text for text in unknown["notes"])
    mute = card(row(), error="dhan does not answer")
    assert (mute["level"], mute["notes"]) == ("bad", ["dhan does not answer"])
    assert card(row(state="starting"), error="refused")["level"] == "warn", "it has only begun"


def test_what_does_not_run_is_shown_to_be_started() -> None:
    [found] = judge.fleet(seen(stopped={"dhan": "dhan"}), NOW)["cards"]
    assert (found["name"], found["state"], found["running"], found["level"]) == ("dhan", "stopped", False, "")


def test_a_card_stays_in_its_place_when_its_instance_stops() -> None:
    both = judge.fleet(seen(row("mine"), row("dhan"), row("kotak")), NOW)["cards"]
    after = judge.fleet(seen(row("dhan"), row("mine"), stopped={"kotak": "kotak"}), NOW)["cards"]
    assert [one["name"] for one in both] == [one["name"] for one in after] == ["kotak", "dhan", "mine"]


def test_a_failed_download_is_amber() -> None:
    one = {"name": "historify", "state": "ready", "puller": "dhan", "epoch": 4, "jobs": {"failed": 2}}
    found = judge.service(one)
    assert found["level"] == "warn"
    assert {"dhan, epoch 4", "2 failed"} <= {fact["text"] for fact in found["facts"]}


def test_combined_rows_name_their_instance_and_failures_are_said() -> None:
    one = {"mode": "live", "orders": {"rows": [order("1"), order("3", "2026-11-20 10:40:00")]}}
    two = {"mode": "analyze", "orders": {"rows": [order("2", "2026-11-20 10:35:00")]}}
    look = seen(
        row("kotak"), row("dhan"), row("lost"),
        heard={"kotak": Heard(books=one), "dhan": Heard(books=two), "lost": Heard(error="does not answer")},
    )  # fmt: skip
    found = judge.books(look)
    assert [(o["instance"], o["orderid"], o["mode"]) for o in found["orders"]] == [
        ("kotak", "3", ""),
        ("dhan", "2", "sandbox"),
        ("kotak", "1", ""),
    ]
    assert found["errors"] == ["lost: does not answer"]


def test_an_unreadable_book_is_no_empty_book() -> None:
    found = card(row(), books={"orders": {"error": "the broker does not answer"}, "positions": {"rows": []}})
    assert levels(found)["books"] == "bad"
    assert "open" not in levels(found)


@pytest.mark.parametrize("name", ["kotak", "dhan", "mine", "second_dhan"])
def test_an_instance_has_the_colour_of_its_own_pages(name: str) -> None:
    assert card(row(name=name))["hue"] == hue_of(name)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (123456.5, "+1,23,456.50"), (-1234567.0, "-12,34,567.00"), (999.0, "+999.00")],
)
def test_rupees_are_grouped_as_here(value: float, text: str) -> None:
    assert words.signed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.44, "0.4 s"), (34, "34 s"), (720, "12 min"), (10_800, "3 h"), (172_800, "2 d")],
)
def test_a_span_is_as_the_pages_say_it(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text
