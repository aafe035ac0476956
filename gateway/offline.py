"""One loopback call to an instance whose api process is down: ``algo key`` and ``algo login`` then.

The same handlers as over HTTP, inside the instance's lock, without a port, a thread or a reconciliation.
"""

from __future__ import annotations

import json
import sys

from brokers.clock import SystemClock
from brokers.errors import SettingsError, StoreError
from gateway import log as logs
from gateway.api.internal import HEADER
from gateway.compose import compose
from gateway.settings import Settings

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_SETTINGS = 2


def main(settings: Settings, method: str, path: str, body: str) -> int:
    """Answer one ``/internal/`` call on standard output as ``{"status", "body"}``; 0 once answered."""
    redactor = logs.setup("offline", settings)
    try:
        made = compose(settings, redactor, SystemClock())
    except (SettingsError, StoreError) as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_SETTINGS if isinstance(exc, SettingsError) else EXIT_FAILED
    try:
        answer = made.app.test_client().open(
            path,
            method=method,
            data=body.encode(),
            headers={HEADER: settings.internal_key.reveal(), "Host": settings.host},
            content_type="application/json",
        )
        sys.stdout.write(json.dumps({"status": answer.status_code, "body": answer.get_json(silent=True)}))
        return EXIT_OK
    finally:
        made.database.close()
