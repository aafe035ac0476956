"""Composition root of the process: builds everything, runs until SIGTERM, answers with an exit code."""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, cast

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import Clock, SystemClock
from brokers.errors import AlgoError, SettingsError
from brokers.jsonlog import JsonLines
from brokers.logrotate import OwnLog, OwnLogHandler
from brokers.redact import Redactor
from historify.contract import BarStore
from historify.control import Control
from historify.lease import PullerLock
from historify.paths import StorePaths, is_server
from historify.puller.config import Config, read
from historify.puller.health import Health
from historify.puller.publisher import FacePublisher
from historify.puller.puller import Parts, Puller
from historify.puller.roster import Roster
from historify.puller.source import Source
from historify.puller.upkeep import Upkeep
from historify.secretfile import home_secret
from historify.segments import manifest
from historify.store import SegmentStore, open_store

if TYPE_CHECKING:
    from historify.face.publish import Face

log = logging.getLogger("historify")

EXIT_OK = 0
EXIT_CRASH = 1
EXIT_SETTINGS = 2
EXIT_PORT_TAKEN = 3
STOP_WITHIN_S = 2.0


class Process:
    """One puller, built and not started. Raises as ``build``."""

    def __init__(self, config: Config, clock: Clock, *, port: int | None = None) -> None:
        secret = home_secret(config.secret_file)
        self.stop = threading.Event()
        calendar: Calendar = AlwaysOpen() if config.hours == "always" else FileCalendar()
        self._store, self.control = _opened(config, calendar, clock)
        self._segments = self._store if isinstance(self._store, SegmentStore) else None
        self._clock = clock
        self.upkeep = Upkeep(self._store, self.control, config.paths, calendar, clock)
        self._roster = Roster([Source(each, secret) for each in config.candidates], clock)
        self._face: Face | None = None
        self._publisher = FacePublisher(self._publish, config.publish_s, clock)
        self.puller = Puller(
            Parts(
                control=self.control,
                lock=PullerLock(config.paths.lock),
                store=self._store,
                roster=self._roster,
                calendar=calendar,
                clock=clock,
                publisher=self._publisher,
                stop=self.stop,
                upkeep=self.upkeep,
            )
        )
        self.health = Health(config.port if port is None else port, self.puller.report)
        self._threads = [
            threading.Thread(target=self.puller.run, name="puller", daemon=True),
            threading.Thread(target=self.puller.renewing, name="lease", daemon=True),
        ]

    def start(self) -> None:
        self.health.start()
        if self._segments is not None:
            self._publisher.start()
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Orderly, within ``STOP_WITHIN_S``: what is under way is either published or not begun."""
        self.stop.set()
        self._roster.close()
        for thread in self._threads:
            thread.join(STOP_WITHIN_S)
        if self._segments is not None:
            self._publisher.stop(0.5)
        self.health.stop()
        if not any(thread.is_alive() for thread in self._threads):
            self._store.close()
            self.control.close()

    def _publish(self, force: bool) -> bool:
        """Make the face anew when the store has something newer; False: somebody has it open to write."""
        if self._segments is None:
            return True
        if self.upkeep.strange:
            return False
        if self._face is None:
            if not force and self._is_shown(self._segments.paths):
                return True
            # loads DuckDB, which an idle puller never needs
            module = importlib.import_module("historify.face.publish")
            self._face = cast("Face", module.Face(self._segments.paths, self.control, self._clock))
        published = self._face.publish(force=force)
        if published.detail:
            log.info("the face waits: %s", published.detail)
        return str(published.state) != "held"

    def _is_shown(self, paths: StorePaths) -> bool:
        """Whether an earlier run published all there is, and nobody touched the file since."""
        with self.control.read() as connection:
            shown = connection.execute("SELECT publish FROM face").fetchone()
            newest = manifest.publish_number(connection)
            known = manifest.face_stamp(connection)
        return shown is not None and shown[0] == newest and known == manifest.stamp_of(paths.face)


def _opened(config: Config, calendar: Calendar, clock: Clock) -> tuple[BarStore, Control]:
    """The bars, and the manifest with jobs and lease, which is a file also where the bars are on a server."""
    if not is_server(config.store):
        segments = SegmentStore(config.paths, calendar=calendar, clock=clock)
        return segments, segments.control
    control = Control(config.paths.control)
    return open_store(config.store, calendar=calendar, clock=clock, control=lambda: control), control


def setup_log(config: Config, redactor: Redactor) -> None:
    """JSON lines on stderr, which the supervisor leads into a file; that is kept short here."""
    handler = OwnLogHandler(OwnLog(config.log_file))
    handler.setFormatter(JsonLines({"process": "historify", "venue": config.venue.value}, redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def main(path: Path) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code (0, 1, 2 or 3)."""
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    logging.basicConfig(stream=sys.stderr)
    try:
        config = read(path)
        setup_log(config, Redactor([home_secret(config.secret_file)]))
        process = Process(config, SystemClock())
    except SettingsError as exc:
        log.error("%s", exc)
        return EXIT_SETTINGS
    except AlgoError as exc:
        log.error("%s (%s)", exc, exc.code)
        return EXIT_CRASH
    except OSError as exc:
        log.error("port %d of HISTORIFY_PORT cannot be bound: %s", config.port, exc.strerror or exc)
        return EXIT_PORT_TAKEN
    process.start()
    log.info("historify on http://127.0.0.1:%d, %d candidates", process.health.port, len(config.candidates))
    stop.wait()
    log.info("stopping")
    process.end()
    logging.shutdown()
    return EXIT_OK
