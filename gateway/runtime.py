"""The life of the api process: start, serve, stop, and the exit codes the supervisor understands."""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

from brokers.clock import Clock, SystemClock
from brokers.errors import SettingsError, StoreError
from brokers.model import OrderUpdate
from brokers.redact import Redactor
from gateway import log as logs
from gateway import together
from gateway.api.carrier import Carrier
from gateway.compose import Composed, compose
from gateway.http.server import Server
from gateway.settings import Settings
from gateway.stream.topics import pin
from gateway.survive import survive
from gateway.triggers.parts import Gtts

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_CRASH = 1
EXIT_SETTINGS = 2
EXIT_PORT_TAKEN = 3
STOP_WITHIN_S = 2.0
SWITCH_S = 0.001
"""How long one thread may keep the interpreter while another waits. Beside a thread that only computes (the
instrument file being parsed) this doubles requests per second and halves their p99 against Python's 5 ms."""


@dataclass(slots=True)
class Process:
    """One api process, built and not yet started."""

    settings: Settings
    made: Composed
    server: Server

    def start(self, given_up: Callable[[float], bool] = lambda _: False) -> None:
        """Start every thread; returns while login, instruments and reconciliation still run.

        Args:
            given_up: Sleeps so many seconds and says whether the process is to end, while its simulated
                broker is still starting.
        """
        threading.Thread(target=self.server.serve_forever, name="accept", daemon=True).start()
        together.wait_for_broker(self.settings, given_up)
        self.made.ticks.start()
        self.made.ticks.want(pin(text) for text in self.settings.symbols)
        self.made.session.start()
        if self.made.latency is not None:
            self.made.latency.start()
        self.made.keeper.start()
        self.made.desk.start()
        self.made.sandbox.start(self._show)
        for gtts in self._gtts:
            gtts.start()
        self.made.queue.start(Carrier(self.made.parts), self.made.parts.analyzing)
        self.made.live.start()
        self.made.egress.start()
        if self.made.code.current() is not None:
            # the code itself stays out of the log: whoever reads it could take the instance over
            name, url = self.settings.name, self.settings.url
            log.warning("no owner account yet: algo up %s prints the one-time code for %s/setup", name, url)

    @property
    def _gtts(self) -> tuple[Gtts, ...]:
        found = (self.made.parts.gtt, self.made.parts.paper_gtt)
        return tuple(gtts for gtts in found if gtts is not None)

    def _show(self, update: OrderUpdate) -> None:
        """An order of the sandbox moved: for the pages, while they are about the sandbox."""
        if self.made.parts.analyzing():
            self.made.live.on_update(update)

    def stop(self) -> None:
        """No new requests first, the journal last."""
        steps: tuple[Callable[[], None], ...] = (
            self.made.live.stop,
            self.made.egress.stop,
            lambda: self.server.stop(STOP_WITHIN_S),
            self.made.keeper.stop,
            self.made.queue.stop,
            *(gtts.stop for gtts in self._gtts),
            self.made.desk.stop,
            self.made.sandbox.stop,
            self.made.session.stop,
            *((self.made.latency.stop,) if self.made.latency is not None else ()),
            self.made.ticks.stop,
            *((self.made.parts.history.close,) if self.made.parts.history is not None else ()),
            self.made.database.close,
        )
        for step in steps:
            with survive(log, "stopping went wrong; going on"):
                step()


def build(settings: Settings, redactor: Redactor, clock: Clock) -> Process:
    """Compose everything (which takes the instance's lock) and bind the port.

    Raises:
        SettingsError: A wrong setting, or a database that is not ours.
        StoreError: Another api process of this instance runs.
        OSError: The port is taken.
    """
    made = compose(settings, redactor, clock)
    try:
        server = Server(made.app, settings.host, settings.port)
    except OSError:
        made.database.close()
        if made.latency is not None:
            made.latency.database.close()
        raise
    return Process(settings, made, server)


def main(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0, 1, 2 or 3)."""
    redactor = logs.setup("api", settings)
    sys.setswitchinterval(SWITCH_S)
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    for warning in settings.warnings:
        log.warning("%s", warning)
    try:
        process = build(settings, redactor, SystemClock())
    except SettingsError as exc:
        log.error("%s", exc)
        return EXIT_SETTINGS
    except StoreError as exc:
        log.error("%s", exc)
        return EXIT_CRASH
    except OSError as exc:
        log.error(
            "%s: port %d of FLASK_PORT cannot be bound: %s; see what listens there, or change it",
            settings.where("FLASK_PORT"),
            settings.port,
            exc.strerror or exc,
        )
        return EXIT_PORT_TAKEN
    process.start(stop.wait)
    # what is loaded now stays: a full collection over it would only be a pause for some order
    gc.collect()
    gc.freeze()
    log.info("api of %s (%s, %s) on %s", settings.name, settings.broker, settings.venue.value, settings.url)
    stop.wait()
    log.info("stopping")
    process.stop()
    with contextlib.suppress(OSError, ValueError):
        logging.shutdown()
    return EXIT_OK
