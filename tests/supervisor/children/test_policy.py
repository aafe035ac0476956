"""The policy of one child, as histories: what happened, what must follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.children.policy import (
    Adopted,
    Child,
    Effect,
    Event,
    Exited,
    Kill,
    Missed,
    Need,
    Probed,
    Rules,
    Spawn,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
    Terminate,
    Tick,
    next_wake,
    step,
)

RULES = Rules()


def play(*events: tuple[float, Event], rules: Rules = RULES) -> tuple[Child, list[Effect]]:
    """The child after a history, and all effects on the way."""
    child, effects = Child(), []
    for now, event in events:
        child, more = step(child, event, now, rules)
        effects += more
    return child, effects


def test_start_spawns_once() -> None:
    child, effects = play((0, Start()), (0, Start()), (0, Spawned(7)))
    assert child.state is State.STARTING
    assert child.pid == 7
    assert effects == [Spawn()]


def test_a_ready_probe_makes_it_ready() -> None:
    child, _ = play((0, Start()), (0, Spawned(7)), (1, Probed(False, "waiting")), (2, Probed(True)))
    assert child.state is State.READY
    assert child.reason == ""


def test_a_first_death_after_a_long_life_restarts_at_once() -> None:
    child, effects = play((0, Start()), (0, Spawned(7)), (1, Probed(True)), (100, Exited(-9)), (100, Tick()))
    assert child.state is State.STARTING
    assert effects == [Spawn(), Spawn()]
    assert child.restarts == 1


def test_a_second_death_within_the_window_waits_however_long_it_lived() -> None:
    child, _ = play(
        (0, Start()), (0, Spawned(7)), (40, Exited(-9)), (40, Tick()), (40, Spawned(8)), (80, Exited(-9))
    )
    assert child.state is State.BACKOFF
    assert child.wake_at == 80 + 2 * RULES.backoff_first_s


def test_early_deaths_back_off_exponentially() -> None:
    child, now, waits = Child(), 0.0, []
    child, _ = step(child, Start(), now, RULES)
    for _ in range(5):
        child, _ = step(child, Spawned(7), now, RULES)
        child, _ = step(child, Exited(1), now, RULES)
        assert child.state is State.BACKOFF
        assert child.wake_at is not None
        waits.append(child.wake_at - now)
        now = child.wake_at
        child, effects = step(child, Tick(), now, RULES)
        assert effects == [Spawn()]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_too_many_deaths_in_the_window_fail() -> None:
    child, now = Child(), 0.0
    child, _ = step(child, Start(), now, RULES)
    for _ in range(RULES.window_deaths + 1):
        child, _ = step(child, Exited(1), now, RULES)
        if child.state is State.FAILED:
            break
        now = (child.wake_at or now) + 3.0
        child, _ = step(child, Tick(), now, RULES)
    assert child.state is State.FAILED
    assert "died 9 times" in child.reason


def test_deaths_outside_the_window_are_forgotten() -> None:
    child, now = Child(), 0.0
    child, _ = step(child, Start(), now, RULES)
    for _ in range(40):
        now += RULES.window_s + 1
        child, _ = step(child, Exited(1), now, RULES)
        assert child.state is State.BACKOFF
        child, _ = step(child, Tick(), child.wake_at or now, RULES)


@pytest.mark.parametrize("code", [2, 3])
def test_exit_codes_no_restart_can_mend_fail_at_once(code: int) -> None:
    child, effects = play((0, Start()), (0, Spawned(7)), (1, Exited(code)), (99, Tick()))
    assert child.state is State.FAILED
    assert effects == [Spawn()]


def test_an_operator_may_start_a_failed_child_again() -> None:
    child, effects = play((0, Start()), (1, Exited(2)), (5, Start()))
    assert child.state is State.STARTING
    assert effects == [Spawn(), Spawn()]


def test_an_operators_start_forgets_the_deaths_that_led_to_failure() -> None:
    child, now = Child(), 0.0
    child, _ = step(child, Start(), now, RULES)
    while child.state is not State.FAILED:
        child, _ = step(child, Exited(1), now, RULES)
        now = child.wake_at or now
        child, _ = step(child, Tick(), now, RULES)
    child, _ = step(child, Start(), now, RULES)
    child, _ = step(child, Exited(1), now, RULES)
    assert child.state is State.BACKOFF


def test_stop_terminates_then_kills_at_the_deadline() -> None:
    child, effects = play((0, Start()), (0, Spawned(7)), (1, Probed(True)), (10, Stop()), (10, Stop()))
    assert effects == [Spawn(), Terminate()]
    at = next_wake(child, RULES)
    assert at == 10 + RULES.stop_deadline_s
    child, effects = step(child, Tick(), at, RULES)
    assert [type(e) for e in effects] == [Kill]
    child, _ = step(child, Exited(-9), at, RULES)
    assert child.state is State.STOPPED
    assert child.restarts == 0


def test_stop_in_backoff_never_spawns_again() -> None:
    child, effects = play((0, Start()), (0, Exited(1)), (0.1, Stop()), (50, Tick()))
    assert child.state is State.STOPPED
    assert effects == [Spawn()]


def test_a_process_that_never_answers_is_killed_at_the_start_deadline() -> None:
    _, effects = play((0, Start()), (0, Spawned(7)), (RULES.start_deadline_s, Tick()))
    assert [type(e) for e in effects] == [Spawn, Kill]


def test_what_was_never_spawned_is_not_killed_at_the_start_deadline() -> None:
    _, effects = play((0, Start()), (RULES.start_deadline_s + 1, Tick()))
    assert effects == [Spawn()]


def test_a_process_that_waits_for_a_login_is_left_alone() -> None:
    child, effects = play(
        (0, Start()), (0, Spawned(7)), (1, Probed(False, "waiting for login")), (9999, Tick())
    )
    assert child.state is State.STARTING
    assert effects == [Spawn()]
    assert next_wake(child, RULES) is None


READY = ((0, Start()), (0, Spawned(7)), (10, Probed(True)))


def test_a_ready_process_that_goes_mute_is_wedged_then_killed() -> None:
    child, effects = play(*READY, (13, Missed("timed out")), (16, Missed("timed out")))
    assert (child.state, effects) == (State.WEDGED, [Spawn()])
    at = next_wake(child, RULES)
    assert at == 10 + RULES.wedged_most_s
    child, effects = step(child, Tick(), at, RULES)
    assert [type(e) for e in effects] == [Kill]
    assert child.state is State.WEDGED


def test_one_missed_probe_or_a_short_silence_is_not_a_hang() -> None:
    assert play(*READY, (40, Missed("x")))[0].state is State.READY
    assert play(*READY, (10.1, Missed("x")), (10.2, Missed("x")), (10.3, Missed("x")))[0].state is State.READY


def test_a_wedged_process_that_answers_again_is_forgiven() -> None:
    child, effects = play(*READY, (13, Missed("x")), (16, Missed("x")), (17, Probed(True)), (18, Missed("x")))
    assert (child.state, child.missed, effects) == (State.READY, 1, [Spawn()])


def test_a_kill_that_changed_nothing_is_repeated_later_not_at_once() -> None:
    mute = [(13.0 + i, Missed("x")) for i in range(30)]
    _, effects = play(*READY, *mute)
    assert [type(e) for e in effects] == [Spawn, Kill, Kill]


def test_a_mute_process_that_answered_while_starting_is_killed() -> None:
    _, effects = play(
        (0, Start()), (0, Spawned(7)), (1, Probed(False, "instruments")), (5, Missed("x")), (13, Missed("x"))
    )
    assert [type(e) for e in effects] == [Spawn, Kill]


@pytest.mark.parametrize(
    ("need", "state"),
    [(Need.LOGIN, State.LOGIN_NEEDED), (Need.OPEN_MARKET, State.CLOSED), (Need.OTHER, State.DEGRADED)],
)
def test_what_it_waits_for_decides_its_state(need: Need, state: State) -> None:
    child, effects = play(*READY, (20, Probed(False, "why", need)), (9999, Tick()))
    assert (child.state, child.reason, effects) == (state, "why", [Spawn()])
    assert step(child, Probed(True), 10000, RULES)[0].state is State.READY


def test_restarts_of_children_that_died_together_are_spread() -> None:
    waits = {luck: play((0, Start()), (1, Exited(1, luck)))[0].wake_at for luck in (0.0, 1.0)}
    assert waits == {0.0: 1.25, 1.0: 1 + 0.25 * (1 + RULES.jitter)}


@pytest.mark.parametrize("life_s", [0.0, 3.0])
def test_a_crash_loop_ends_within_the_window(life_s: float) -> None:
    child, now, spawns = Child(), 0.0, 1
    child, _ = step(child, Start(), now, RULES)
    while child.state is not State.FAILED:
        now += life_s
        child, _ = step(child, Exited(1, 1.0), now, RULES)
        if child.state is State.BACKOFF:
            now = child.wake_at or now
            child, effects = step(child, Tick(), now, RULES)
            spawns += len(effects)
    assert now <= RULES.window_s
    assert spawns == RULES.window_deaths + 1


def test_an_adopted_process_needs_no_spawn() -> None:
    child, effects = play((0, Adopted(7)), (1, Probed(True)))
    assert (child.state, child.pid, effects) == (State.READY, 7, [])


def test_a_spawn_that_fails_is_a_death_with_its_reason() -> None:
    child, _ = play((0, Start()), (0, SpawnFailed("no such program")))
    assert child.state is State.BACKOFF
    assert child.reason == "no such program"


EVENTS = st.one_of(
    st.just(Start()),
    st.just(Stop()),
    st.just(Tick()),
    st.builds(Spawned, st.integers(1, 99)),
    st.builds(Exited, st.sampled_from([0, 1, 2, -9, None]), st.floats(0, 1)),
    st.builds(Probed, st.booleans(), st.just(""), st.sampled_from(Need)),
    st.builds(Missed, st.just("x")),
)


@given(st.lists(st.tuples(st.floats(0.0, 40.0), EVENTS), max_size=60))
def test_whatever_happens_a_stopped_child_is_not_started_by_time_or_death(
    history: list[tuple[float, Event]],
) -> None:
    child, now, running = Child(), 0.0, False
    for pause, event in history:
        now += pause
        before = child
        child, effects = step(child, event, now, RULES)
        spawned = Spawn() in effects
        if spawned:
            assert before.state in (State.PLANNED, State.STOPPED, State.FAILED, State.BACKOFF)
            assert isinstance(event, Start | Tick)
        if before.state in (State.STOPPED, State.FAILED) and not isinstance(event, Start):
            assert not spawned
        assert child.restarts >= before.restarts or isinstance(event, Start)
        running = running or spawned
        if child.state is State.BACKOFF:
            assert child.wake_at is not None
            assert child.wake_at <= now + RULES.backoff_most_s * (1 + RULES.jitter)
