"""Late for the open: by the exchange calendar, once there has been time, and told as an event."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from brokers.clock import IST
from gateway.settings.hooks import EVENTS
from supervisor import plan
from supervisor.children.policy import Need
from supervisor.render import status_table
from supervisor.status import need_of
from supervisor.telling.events import facts_of
from supervisor.telling.openwatch import MOST_S, NEAR_S, OpenWatch
from tests.supervisor.test_plan import make

WAITING = {"state": "login-needed", "waiting_for": ["dhan.api: log in"], "children": []}


def ist(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-20 {text}").replace(tzinfo=IST)


@pytest.fixture
def one(tmp_path):
    return replace(make(tmp_path, "dhan"), sim_hours="nse")


class Watch(OpenWatch):
    """One whose time a test sets."""

    def __init__(self, at):
        self.at = ist(at)
        super().__init__(lambda: self.at)

    def see(self, one, row=WAITING, at=None, hours=""):
        self.at = ist(at) if at else self.at
        return self.late(one, hours, row)


def test_an_instance_that_waits_is_late_from_the_deadline_on_until_it_is_ready(one):
    # the first of Dhan's exchanges to open is MCX, at 09:00
    watch = Watch("08:00")
    assert watch.see(one) == ""
    assert watch.see(one, at="08:54:59") == ""
    assert "09:00 IST and this instance is not ready: dhan.api: log in" in watch.see(one, at="08:55")
    assert watch.see(one, {**WAITING, "state": "ready"}) == ""
    assert watch.see(one, {**WAITING, "state": "failed"}, at="09:04:59")
    assert watch.see(one, at="09:05") == ""


def test_one_just_started_is_given_a_minute_and_one_that_never_closes_has_no_open(one):
    watch = Watch("08:57")
    assert watch.see(one) == ""
    assert watch.see(one, at="08:57:59") == ""
    assert watch.see(one, at="08:58")
    assert watch.see(one, hours="always") == ""
    watch.forget(one.name)
    assert watch.see(one) == ""


def test_the_deadline_is_the_instance_s_own(one):
    early = replace(one, day=replace(one.day, open_deadline_minutes=45))
    watch = Watch("08:00")
    watch.see(early)
    assert watch.see(early, at="08:15")
    assert watch.see(one) == ""


def test_the_supervisor_looks_when_somebody_may_become_late(one):
    for at, wait_s in (("06:00", MOST_S), ("08:53", 120.0), ("08:56", NEAR_S), ("12:00", MOST_S)):
        assert Watch(at).wait_s([one], "") == wait_s
        assert Watch(at).wait_s([one], "always") == MOST_S
        assert Watch(at).wait_s([], "") == MOST_S


def test_alarms_of_the_day_become_events_and_stand_in_the_table():
    alarms = {"instruments-stale": "of an earlier day", "login-needed": "log in now"}
    row = {"name": "dhan", **WAITING, "late": "why", "broker_day": {"alarms": alarms}}
    told = facts_of(row, {"api": {"broker_day": {"alarms": alarms}}}, "").wrong
    assert dict(told) == {**alarms, "not-ready-before-open": "why"}
    assert set(told) | {"egress-mismatch"} <= set(EVENTS)
    shown = str(status_table({"venue": "live", "instances": [row]}).caption)
    assert "dhan: not-ready-before-open: why" in shown
    assert "dhan: login-needed: log in now" in shown


@pytest.mark.parametrize(
    ("phase", "need"),
    [
        ("rolling-over", Need.OPEN_MARKET),
        ("rolled-over", Need.OPEN_MARKET),
        ("login-overdue", Need.LOGIN),
        ("running", Need.OTHER),
    ],
)
def test_a_planned_end_of_the_session_is_no_fault(phase, need):
    assert need_of({"broker_session": {"state": "expired"}, "broker_day": {"phase": phase}}) is need
    refused = {"broker_session": {"state": "refused"}, "broker_day": {"phase": phase}}
    assert need_of(refused) is Need.LOGIN


def test_an_instance_without_the_role_feed_runs_none(one):
    mute = replace(one, day=replace(one.day, roles=frozenset({"execute", "control"})))
    keys = [spec.key for spec in plan.children([mute], plan.UpOptions())]
    assert keys == ["sim.dhan", "dhan.api"]
    assert "dhan.feed" in [spec.key for spec in plan.children([one], plan.UpOptions())]
