"""Panic and its end on running instances: what ``algo panic`` and the fleet page do alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from brokers.errors import AlgoError
from gateway.panicfile import PanicFile, spoken
from gateway.settings import Settings
from supervisor.client import CommandFailed, ask_api, message_of

PATIENCE_S = 30.0
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class End:
    """What became of one instance, in one line. ``done``: nothing is left to do."""

    instance: str
    said: str
    done: bool


def speak(file: PanicFile, active: bool, policy: str, by: str) -> int:
    """Block entries everywhere, or allow them again; the word's serial. It counts from here on.

    Raises:
        CommandFailed: It could not be written.
    """
    before = file.read()
    after = before.serial if before else 0
    word = spoken(active, reason=f"{by} panic", policy=policy, by=by, after=after)
    try:
        file.write(word)
    except OSError as exc:
        raise CommandFailed(f"{file.path} could not be written: {exc.strerror or exc}") from exc
    return word.serial


def carry_out(
    instances: Sequence[Settings], serial: int, policy: str, by: str, patience_s: float = PATIENCE_S
) -> list[End]:
    """Cancel what is open on all of them at once; the block stands already (``speak``)."""
    return _each(instances, lambda one: _panic(one, serial, policy, by, patience_s))


def resume(instances: Sequence[Settings], *, day_loss: bool) -> list[End]:
    """Allow entries on all of them. ``day_loss``: also where RISK_DAY_LOSS stopped them."""
    return _each(instances, lambda one: _resume(one, day_loss))


def _each(instances: Sequence[Settings], act: Callable[[Settings], tuple[str, bool]]) -> list[End]:
    with ThreadPoolExecutor(max(1, len(instances))) as pool:
        ends = list(pool.map(act, instances))
    return [End(one.name, *end) for one, end in zip(instances, ends, strict=True)]


def _panic(one: Settings, serial: int, policy: str, by: str, patience_s: float) -> tuple[str, bool]:
    """What happened on one instance, and whether nothing is left to do."""
    body: dict[str, Any] = {"reason": f"{by} panic", "policy": policy, "serial": serial}
    ends = time.monotonic() + patience_s
    method = "POST"
    while True:
        try:
            status, answer = ask_api(one, method, "/internal/panic", body)
        except AlgoError as exc:
            return f"entries blocked; whether orders are cancelled is not known: {exc}", False
        if status != 200:
            return f"HTTP {status}: {message_of(answer, 'no reason given')}", False
        if answer["done"] or time.monotonic() >= ends:
            return _told(answer)
        method, body = "GET", {}
        time.sleep(LOOK_S)


def _told(answer: dict[str, Any]) -> tuple[str, bool]:
    said = f"entries blocked, {len(answer['cancelled'])} orders cancelled"
    if answer["ended"]:
        said += f", {len(answer['ended'])} had ended"
    if gtts := len(answer["gtts_cancelled"]):
        said += f", {gtts} GTT orders cancelled"
    if left := len(answer["left"]):
        said += f", {left} GTT orders stay armed at the broker"
    if papers := len(answer.get("paper", {}).get("cancelled", ())):
        said += f", {papers} paper orders cancelled"
    if answer["closed"]:
        said += f", {answer['closed']} exits sent"
    failed = [_row(row) for row in answer["failed"]]
    if failed:
        said += f"; not done: {', '.join(failed)}"
    if not answer["done"]:
        going = ", ".join(_row(row) for row in answer["going"]) or "the order book is not read yet"
        said += f"; goes on in the background: {going}"
        if answer["waiting"]:
            said += f" ({answer['waiting']})"
    return said, answer["done"] and not failed


def _row(row: dict[str, str]) -> str:
    return f"{row['what']} ({row['message']})" if row["message"] else row["what"]


def _resume(one: Settings, day_loss: bool) -> tuple[str, bool]:
    try:
        status, answer = ask_api(one, "POST", "/internal/resume", {"day_loss": day_loss})
    except AlgoError as exc:
        return str(exc), False
    if status != 200:
        return f"HTTP {status}: {message_of(answer, 'no reason given')}", False
    return "entries allowed", True
