"""What the fleet page may do, by the rules of the commands of the same names."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from brokers.errors import AlgoError, InvalidRequest
from gateway.panicfile import NAME as PANIC_FILE
from gateway.panicfile import PanicFile
from gateway.settings import Settings
from supervisor.client import ask_running, message_of
from supervisor.console.gather import Gatherer
from supervisor.operations import panicking, stopping
from supervisor.operations.panicking import End
from supervisor.plan import UpOptions
from supervisor.running import ask

log = logging.getLogger(__name__)
BY = "fleet page"
ANSWER_FIRST_S = 0.3
LOGIN_S = 60.0


class Actions:
    """One home and venue."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._folder = gatherer.folder

    def start(self, name: str) -> list[str]:
        """Start an instance as those that run were started. Raises ``SettingsError``, ``CommandFailed``."""
        log.info("start asked for", extra={"of": name})
        options = UpOptions.from_plain(self._folder.read_state()[1])
        ask(self._folder, "up", {"names": [name], "options": options.to_plain()})
        return [f"{name} is starting"]

    def stop(self, name: str, policy: str | None, *, force: bool) -> list[str]:
        """As ``algo down NAME``. The last instance takes this page with it, after the answer.

        Raises:
            StillOpen: Something is open at the broker of a live instance and no policy was given.
            CommandFailed, SettingsError: It was not stopped.
        """
        log.info("stop asked for", extra={"of": name, "policy": policy, "force": force})
        running = self._running(name)
        lines: list[str] = []
        stopping.settle(self._folder, [name], policy, force=force, say=lines.append)
        if running == [name]:
            threading.Timer(ANSWER_FIRST_S, self._stop_the_last, [name]).start()
            return [*lines, f"{name} is stopping, and this page with it; start again with: algo up {name}"]
        ask(self._folder, "down", {"names": [name]})
        return [*lines, f"{name} is stopped"]

    def restart(self, name: str, policy: str | None, *, force: bool) -> list[str]:
        """Its settings read again. What is open is dealt with first, as before a stop; raises as ``stop``."""
        log.info("restart asked for", extra={"of": name, "policy": policy, "force": force})
        self._running(name)
        lines: list[str] = []
        stopping.settle(self._folder, [name], policy, force=force, say=lines.append)
        ask(self._folder, "restart", {"names": [name]})
        return [*lines, f"{name} is starting again"]

    def login(self, codes: Mapping[str, str]) -> list[End]:
        """Log in to their brokers at once. ``codes``: instance -> TOTP, empty where a seed is stored."""
        found = [self._gatherer.settings(name) for name in codes]
        with ThreadPoolExecutor(max(1, len(found))) as pool:
            return list(pool.map(lambda one: _login(one, codes[one.name]), found))

    def panic(self, policy: str) -> list[End]:
        """Block entries everywhere, then cancel on every instance that runs. Raises ``CommandFailed``."""
        log.warning("panic", extra={"policy": policy})
        # the block first: it counts from here on, whatever becomes of the questions below
        serial = panicking.speak(PanicFile(self._folder.path / PANIC_FILE), True, policy, BY)
        return panicking.carry_out(self._instances(), serial, policy, BY)

    def word(self) -> dict[str, Any]:
        """Whether entries are blocked now, for a page that must not be a second old."""
        return self._gatherer.panicked()

    def resume(self, *, day_loss: bool) -> list[End]:
        """Allow entries again. Raises ``CommandFailed``."""
        log.warning("resume")
        panicking.speak(PanicFile(self._folder.path / PANIC_FILE), False, "cancel", BY)
        return panicking.resume(self._instances(), day_loss=day_loss)

    def _instances(self) -> list[Settings]:
        names = sorted({record.instance for record, _ in self._folder.live_children() if record.instance})
        return [self._gatherer.settings(name) for name in names]

    def _running(self, name: str) -> Sequence[str]:
        names = [str(row["name"]) for row in ask(self._folder, "status")["instances"]]
        if name not in names:
            raise InvalidRequest(f"{name} does not run")
        return names

    def _stop_the_last(self, name: str) -> None:
        try:
            ask(self._folder, "down", {"names": [name]})
        except AlgoError as exc:
            log.error("%s was not stopped: %s", name, exc)


def _login(one: Settings, code: str) -> End:
    try:
        status, answer = ask_running(
            one, "POST", "/internal/login", {"totp": code or None}, timeout_s=LOGIN_S
        )
    except AlgoError as exc:
        return End(one.name, str(exc), False)
    if status != 200:
        return End(one.name, message_of(answer, f"HTTP {status}"), False)
    return End(one.name, f"logged in, session valid until {answer.get('expires_at', '?')}", True)
