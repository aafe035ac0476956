"""What stopping leaves behind: nobody watches a working order or an open position after ``algo down``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from brokers.errors import AlgoError
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.settings import Settings
from supervisor.client import ask_running, message_of
from supervisor.running import CommandFailed, ask
from supervisor.state import RunFolder

POLICIES = ("keep", "cancel", "flatten", "refuse")
ASK_S = 10.0
SHOWN = 10
WIND_DOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Open:
    """What one instance has at its broker now, or why that is not known."""

    instance: str
    live: bool
    market_open: bool = True
    orders: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    unknown: int = 0
    error: str = ""

    @property
    def is_clear(self) -> bool:
        return not (self.orders or self.positions or self.error)

    def __str__(self) -> str:
        if self.error:
            return f"{self.instance}: cannot tell what is open: {self.error}"
        parts = [f"{len(self.orders)} working orders"] if self.orders else []
        parts += [f"{self.unknown} of them unknown"] if self.unknown else []
        parts += [f"{len(self.positions)} open positions"] if self.positions else []
        return f"{self.instance}: {', '.join(parts) or 'nothing open'}"


class StillOpen(CommandFailed):
    """Something is open at a broker, and nobody said what is to become of it. Nothing was stopped."""

    code = "STILL_OPEN"

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.lines = tuple(lines)


def policy_for(found: Open, asked: str | None, *, force: bool) -> str:
    """Pure: what to do about one instance.

    Without a word from the user: ``refuse`` for a live one while its market is open (or nobody can say),
    ``keep`` for simulated ones and outside hours. ``force`` keeps where it would refuse.
    """
    policy = asked or ("refuse" if found.live and found.market_open else "keep")
    return "keep" if policy == "refuse" and (force or found.is_clear) else policy


def look(one: Settings) -> Open:
    """Ask the running api process. Without one nothing is known, and nothing is opened to find out."""
    live = one.venue is Venue.LIVE
    try:
        status, answer = ask_running(one, "GET", "/internal/open", timeout_s=ASK_S)
    except AlgoError as exc:
        return Open(one.name, live, error=str(exc))
    if status != 200 or not isinstance(answer, dict):
        return Open(one.name, live, error=f"HTTP {status}: {message_of(answer, 'no reason given')}")
    return Open(
        one.name,
        live,
        bool(answer["market_open"]),
        tuple(answer["orders"]),
        tuple(answer["positions"]),
        int(answer["unknown"]),
        str(answer["error"]),
    )


def wind_down(one: Settings, policy: str) -> tuple[str, bool]:
    """Cancel, and flatten if asked. What happened in one line, and whether all of it worked."""
    try:
        status, answer = ask_running(one, "POST", "/internal/open", {"policy": policy}, timeout_s=WIND_DOWN_S)
    except AlgoError as exc:
        return f"{one.name}: not known whether anything was cancelled: {exc}", False
    if status != 200 or not isinstance(answer, dict):
        return f"{one.name}: HTTP {status}: {message_of(answer, 'no reason given')}", False
    return _told(one.name, policy, answer)


def _told(name: str, policy: str, answer: dict[str, Any]) -> tuple[str, bool]:
    said = f"{name}: {len(answer['cancelled'])} orders cancelled"
    if policy == "flatten":
        said += f", {len(answer['exits'])} exits sent"
    if answer["failed"]:
        said += f"; failed: {'; '.join(answer['failed'])}"
    return said, not answer["failed"]


def settle(
    folder: RunFolder, names: Sequence[str], policy: str | None, *, force: bool, say: Callable[[str], object]
) -> None:
    """Deal with what is open at the brokers before a stop. ``say`` hears a line of what was found and done.

    Raises:
        StillOpen: The policy refuses; nothing is stopped.
        CommandFailed: A cancel or exit failed; nothing is stopped.
    """
    instances = [gateway_settings.load(folder.home, name, folder.venue) for name in names]
    with ThreadPoolExecutor(max(1, len(instances))) as pool:
        found = list(pool.map(look, instances))
        ways = [policy_for(one, policy, force=force) for one in found]
        refused = [one for one, way in zip(found, ways, strict=True) if way == "refuse"]
        if refused:
            lines = details(refused)
            for one in refused:
                ask(folder, "stop-refused", {"names": [one.instance], "reason": str(one)})
            shown = "\n  ".join(lines)
            raise StillOpen(
                f"not stopped, because this is open at the broker:\n  {shown}\n"
                "choose: algo down --open cancel | --open flatten | --force (keeps it there, unwatched)",
                lines,
            )
        for line in details([one for one in found if one.live or not one.error]):
            say(line)
        ending = [(i, w) for i, w in zip(instances, ways, strict=True) if w in ("cancel", "flatten")]
        ends = list(pool.map(lambda pair: wind_down(*pair), ending))
    for said, _ in ends:
        say(said)
    if not all(ok for _, ok in ends) and not force:
        raise CommandFailed("not stopped: see above; algo down --force stops all the same")


def details(everything: Sequence[Open]) -> list[str]:
    """Lines for a person: each instance that is not clear, then its orders and positions."""
    lines = []
    for found in everything:
        if not found.is_clear:
            lines.append(str(found))
            both = (*found.positions, *found.orders)
            lines += [f"  {text}" for text in both[:SHOWN]]
            lines += [f"  and {len(both) - SHOWN} more: algo orders list"] if len(both) > SHOWN else []
    return lines
