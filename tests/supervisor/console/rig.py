"""The fleet page with a hand-made look at the fleet, and a browser of sorts in front of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from brokers.clock import ManualClock
from brokers.venue import Venue
from gateway.pagekit.access import Csrf, OneTimeCode, WebSessions
from gateway.pagekit.assets import Assets
from supervisor.console import app, judge
from supervisor.console.actions import Actions
from supervisor.console.config import Config
from supervisor.console.gather import Gatherer, Heard, Seen
from supervisor.console.owner import OwnerFile
from supervisor.console.pages import Console
from supervisor.console.watch import Watch

MORNING = datetime(2026, 11, 20, 5, tzinfo=UTC)
OWNER = {"username": "asha", "password": "correct horse battery"}
BASE = "http://127.0.0.1:5050"
ASSETS = Assets(app.SHARED / "static", app.OURS / "static")
"""Read once: a second of the suite otherwise."""


def row(name: str = "dhan", **changes: Any) -> dict[str, Any]:
    """A status row of a healthy instance, as the supervisor answers it."""
    usage = {"descriptors": 40, "threads": 20, "memory_mb": 90.0, "cpu_percent": 2.0}
    children = [{"key": f"{name}.{r}", "role": r, "usage": usage} for r in ("api", "feed")]
    return {
        "name": name,
        "broker": name,
        "venue": "sim",
        "state": "ready",
        "waiting_for": [],
        "url": "http://127.0.0.1:5001",
        "pids": {"api": 11, "feed": 12},
        "ports": {"web": 5001, "websocket": 8766, "zeromq": 5556},
        "uptime_s": 100.0,
        "restarts": 0,
        "broker_session": {"state": "valid", "account": "X1", "expires_at": "2026-11-20T18:30:00+00:00"},
        "feed_state": "live",
        "last_tick_age_s": 0.2,
        "ticks_per_s": 7.0,
        "subscribed": 3,
        "children": children,
        **changes,
    }


def order(orderid: str, at: str = "2026-11-20 10:30:00", **changes: Any) -> dict[str, Any]:
    return {"orderid": orderid, "symbol": "SBIN", "timestamp": at, "order_status": "open", **changes}


def seen(*rows: dict[str, Any], **changes: Any) -> Seen:
    found: dict[str, Any] = {
        "error": "",
        "status": {
            "venue": "sim",
            "supervisor": {"pid": 9, "started_at": MORNING.isoformat()},
            "instances": list(rows),
            "services": [],
        },
        "heard": {one["name"]: Heard(status={"version": "0.1.0"}) for one in rows},
        "settings": {},
        "stopped": {},
        "events": [],
        "disk": (200_000_000_000, 80_000_000_000),
        "panic": {"active": False, "reason": "", "at": "", "policy": ""},
    }
    return Seen(**(found | changes))


def build(home: Path, look: Seen | None = None, venue: Venue = Venue.SIM) -> Console:
    """As ``app.build``, with what is looked at given."""
    clock = ManualClock(MORNING)
    config = Config(home, venue, 5050, ("127.0.0.1", "localhost"))
    kept = OwnerFile(config.data / "console.json", clock)
    found = look or seen(row("kotak"), row("dhan"))
    return Console(
        config=config,
        owner=kept,
        sessions=WebSessions(clock, kept),
        csrf=Csrf(app.CSRF_COOKIE, kept.key),
        code=OneTimeCode(needed=not kept.exists()),
        assets=ASSETS,
        watch=Watch(lambda: (judge.fleet(found, clock.now()), judge.books(found))),
        actions=Actions(Gatherer(config.folder)),
    )


class Browser:
    """One browser with its cookies, which sends what a browser sends with a form."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.client: FlaskClient = app.create(console).test_client()

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=BASE, headers=headers)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> TestResponse:
        """A form with the token of the page it stands on."""
        data = {"csrf_token": self.token(), **(form or {})}
        return self.client.post(path, base_url=BASE, data=data, headers={"Origin": BASE, **headers})

    def call(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """What a script of ours sends."""
        said = {"X-CSRF-Token": self.token(), "Origin": BASE, **headers}
        return self.client.post(f"/web/api/{path}", base_url=BASE, json=body or {}, headers=said)

    def token(self) -> str:
        page = self.client.get("/panic", base_url=BASE, follow_redirects=True)
        [found] = re.findall(r'name="csrf-token" content="(\w+)"', page.text)
        return str(found)

    def make_owner(self, **changes: str) -> TestResponse:
        form = {"code": self.console.code.current() or "", **OWNER, "repeat": OWNER["password"], **changes}
        return self.post("/setup", form)
