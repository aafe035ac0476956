"""Pure: what to do with one child, given what happened and the time.

================== =============================== =====================================================
state              means                           leaves on
================== =============================== =====================================================
planned            waits for its dependencies      ``Start``
starting           process runs, not ready yet     ``Probed`` ready, ``Exited``, start deadline
ready              the probe through it succeeds   ``Probed`` not ready, ``Exited``
degraded           runs, says what it waits for    ``Probed`` ready, ``Exited``
login-needed       runs, a person must log in      ``Probed`` otherwise, ``Exited``
closed-for-session runs, the market is closed      ``Probed`` otherwise, ``Exited``
wedged             lives and does not answer       ``Probed``; killed when it lasts, ``Exited``
backoff            died, next start at ``wake_at`` ``Tick``
failed             will not be started by itself   ``Start`` (an operator asked)
stopping           asked to end                    ``Exited``; killed at ``kill_at``
stopped            ended as asked                  ``Start``
================== =============================== =====================================================

Times are monotonic seconds handed in; effects are values the shell carries out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """See the table above."""

    PLANNED = "planned"
    STARTING = "starting"
    READY = "ready"
    DEGRADED = "degraded"
    LOGIN_NEEDED = "login-needed"
    CLOSED = "closed-for-session"
    WEDGED = "wedged"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"

    @property
    def is_running(self) -> bool:
        return self.is_serving or self in (State.STARTING, State.WEDGED, State.STOPPING)

    @property
    def is_serving(self) -> bool:
        """It has been ready or says why it is not."""
        return self in (State.READY, State.DEGRADED, State.LOGIN_NEEDED, State.CLOSED)


class Need(StrEnum):
    """Why a child that answers is not ready, as far as that changes its state."""

    LOGIN = "login"
    OPEN_MARKET = "open market"
    OTHER = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """Seconds and counts.

    Attributes:
        never_retry: Exit codes that no restart can mend -> what they mean.
        long_life_s: A first death after this long is answered at once.
        window_s, window_deaths: More deaths than this within the window is ``failed``.
        jitter: Backoff waits are longer by up to this share.
        wedged_after_s: No answer for this long, and two unanswered probes, is ``wedged``.
        wedged_most_s: Killed when it never answered in this time. With the probe's interval and the start of
            a process this keeps a hang under 15 s; shorter would take a busy machine for a hung process.
    """

    backoff_first_s: float = 0.25
    backoff_most_s: float = 10.0
    jitter: float = 0.25
    long_life_s: float = 30.0
    window_s: float = 120.0
    window_deaths: int = 8
    start_deadline_s: float = 60.0
    stop_deadline_s: float = 5.0
    wedged_after_s: float = 5.0
    wedged_most_s: float = 10.5
    never_retry: tuple[tuple[int, str], ...] = ((2, "wrong settings"), (3, "its port is taken"))


@dataclass(frozen=True, slots=True)
class Child:
    """Everything the policy remembers about one child."""

    state: State = State.PLANNED
    pid: int | None = None
    started_at: float | None = None
    deaths: tuple[float, ...] = ()
    restarts: int = 0
    wake_at: float | None = None
    kill_at: float | None = None
    missed: int = 0
    heard_at: float | None = None
    answered: bool = False
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    """Dependencies are ready, or an operator asked."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process runs; it has not answered yet."""

    pid: int


@dataclass(frozen=True, slots=True)
class Adopted:
    """A process of an earlier supervisor is alive and is this child."""

    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The system would not start it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended. ``luck`` in 0..1 spreads the restarts of children that died together."""

    code: int | None
    luck: float = 0.0


@dataclass(frozen=True, slots=True)
class Probed:
    """The child answered its health question."""

    ready: bool
    reason: str = ""
    need: Need = Need.OTHER


@dataclass(frozen=True, slots=True)
class Missed:
    """The child did not answer."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """An operator asked."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Start | Spawned | Adopted | SpawnFailed | Exited | Probed | Missed | Stop | Tick


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start the process now."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask it to end."""


@dataclass(frozen=True, slots=True)
class Kill:
    """End it and all it started; ``why`` goes into the log."""

    why: str


Effect = Spawn | Terminate | Kill


def step(child: Child, event: Event, now: float, rules: Rules) -> tuple[Child, list[Effect]]:
    """The next state and what to do about it. Events that do not fit a state change nothing."""
    match event:
        case Start():
            if child.state in (State.PLANNED, State.STOPPED, State.FAILED):
                fresh = replace(
                    child, state=State.STARTING, started_at=now, reason="", missed=0, answered=False
                )
                if child.state is State.FAILED:
                    fresh = replace(fresh, deaths=())
                return fresh, [Spawn()]
            return child, []
        case Spawned(pid):
            return replace(child, pid=pid), []
        case Adopted(pid):
            adopted = Child(state=State.STARTING, pid=pid, started_at=now, heard_at=now, reason="adopted")
            return replace(adopted, restarts=child.restarts), []
        case SpawnFailed(reason):
            return _died(replace(child, reason=reason), None, 0.0, now, rules), []
        case Exited(code, luck):
            return _exited(child, code, luck, now, rules), []
        case Probed(ready, reason, need):
            return _probed(child, ready, reason, need, now), []
        case Missed(reason):
            return _missed(child, reason, now, rules)
        case Stop():
            return _stop(child, now, rules)
        case Tick():
            return _tick(child, now, rules)


def next_wake(child: Child, rules: Rules) -> float | None:
    """When a ``Tick`` would change something; None when only other events can."""
    if child.state is State.BACKOFF:
        return child.wake_at
    if child.state is State.STOPPING:
        return child.kill_at
    if child.state is State.STARTING and child.started_at is not None and not child.answered:
        return child.started_at + rules.start_deadline_s
    if child.state is State.WEDGED and child.heard_at is not None:
        return child.heard_at + rules.wedged_most_s
    return None


def _exited(child: Child, code: int | None, luck: float, now: float, rules: Rules) -> Child:
    child = replace(child, exit_code=code)
    if child.state in (State.STOPPING, State.STOPPED):
        return replace(child, state=State.STOPPED, pid=None, kill_at=None, reason="")
    for final, meaning in rules.never_retry:
        if code == final:
            reason = f"exit code {code}: {meaning}; its log says more"
            return replace(child, state=State.FAILED, pid=None, wake_at=None, reason=reason)
    return _died(child, code, luck, now, rules)


def _died(child: Child, code: int | None, luck: float, now: float, rules: Rules) -> Child:
    recent = tuple(t for t in child.deaths if now - t < rules.window_s)
    how = child.reason if code is None and child.reason else _how(code)
    deaths = (*recent, now)
    if len(deaths) > rules.window_deaths:
        reason = f"died {len(deaths)} times in {rules.window_s:.0f} s, last: {how}"
        return replace(child, state=State.FAILED, pid=None, deaths=deaths, wake_at=None, reason=reason)
    lived_s = now - child.started_at if child.started_at is not None else 0.0
    wait_s = 0.0
    if recent or lived_s < rules.long_life_s:
        wait_s = min(rules.backoff_most_s, rules.backoff_first_s * 2 ** len(recent))
        wait_s *= 1 + rules.jitter * luck
    return replace(
        child,
        state=State.BACKOFF,
        pid=None,
        deaths=deaths,
        restarts=child.restarts + 1,
        wake_at=now + wait_s,
        reason=how,
    )


def _how(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _probed(child: Child, ready: bool, reason: str, need: Need, now: float) -> Child:
    if not child.state.is_serving and child.state not in (State.STARTING, State.WEDGED):
        return child
    if ready:
        return replace(child, state=State.READY, missed=0, heard_at=now, answered=True, reason="")
    match need:
        case Need.LOGIN:
            state = State.LOGIN_NEEDED
        case Need.OPEN_MARKET:
            state = State.CLOSED
        case Need.OTHER:
            state = State.STARTING if child.state is State.STARTING else State.DEGRADED
    return replace(child, state=state, missed=0, heard_at=now, answered=True, reason=reason)


def _missed(child: Child, reason: str, now: float, rules: Rules) -> tuple[Child, list[Effect]]:
    starting = child.state is State.STARTING and child.answered
    if not (child.state.is_serving or child.state is State.WEDGED or starting):
        return child, []
    missed = child.missed + 1
    mute_s = now - child.heard_at if child.heard_at is not None else 0.0
    wedged = missed >= 2 and mute_s >= rules.wedged_after_s
    grown = replace(child, missed=missed, reason=reason, state=State.WEDGED if wedged else child.state)
    return _end_wedged(grown, now, rules)


def _end_wedged(child: Child, now: float, rules: Rules) -> tuple[Child, list[Effect]]:
    if child.state is not State.WEDGED or child.heard_at is None:
        return child, []
    mute_s = now - child.heard_at
    if mute_s < rules.wedged_most_s:
        return child, []
    # heard_at moves so that a kill the system lost is asked for again, not at every probe
    return replace(child, heard_at=now), [Kill(f"lives but did not answer for {mute_s:.0f} s")]


def _stop(child: Child, now: float, rules: Rules) -> tuple[Child, list[Effect]]:
    if child.state in (State.PLANNED, State.BACKOFF, State.FAILED, State.STOPPED):
        return replace(child, state=State.STOPPED, wake_at=None, reason=""), []
    if child.state is State.STOPPING:
        return child, []
    grown = replace(child, state=State.STOPPING, kill_at=now + rules.stop_deadline_s, reason="")
    return grown, [Terminate()]


def _tick(child: Child, now: float, rules: Rules) -> tuple[Child, list[Effect]]:
    if child.state is State.BACKOFF and child.wake_at is not None and now >= child.wake_at:
        fresh = replace(child, state=State.STARTING, started_at=now, wake_at=None, missed=0, answered=False)
        return fresh, [Spawn()]
    if child.state is State.STOPPING and child.kill_at is not None and now >= child.kill_at:
        # ask again later in case the kill was lost
        return replace(child, kill_at=now + rules.stop_deadline_s), [Kill("did not stop in time")]
    if child.state is State.STARTING and child.started_at is not None and not child.answered:
        # one that answers "not ready, waiting for a login" may wait all day; a mute one may not
        if now - child.started_at >= rules.start_deadline_s and child.pid is not None:
            grown = replace(child, started_at=now, reason="mute since its start")
            return grown, [Kill("no answer within the start deadline")]
        return child, []
    return _end_wedged(child, now, rules)
