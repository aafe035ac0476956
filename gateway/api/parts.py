"""What a request handler may use, and what an endpoint is. Values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask import Response
from marshmallow import Schema
from werkzeug.datastructures import Headers

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import Clock
from brokers.model import OrderUpdate
from brokers.secret import Secret
from gateway.api.limits import Limits
from gateway.api.schemas import AnyBody
from gateway.brokerday.egress import Egress
from gateway.brokerday.session import SessionManager
from gateway.keys import Keys
from gateway.latency.recorder import Recorder
from gateway.marketdata.history import History
from gateway.marketdata.market import Market
from gateway.sandbox.compose import Sandbox
from gateway.scopes import Scope
from gateway.settings import Settings
from gateway.store.daypoints import DayPoints
from gateway.store.instruments import InstrumentStore, SyncReport
from gateway.store.preferences import Preferences
from gateway.store.users import Users
from gateway.strategies.leasefile import LeaseFile
from gateway.strategies.queue import Queue
from gateway.trading.desk import OrderDesk
from gateway.trading.riskdesk import DataMeter
from gateway.trading.risklimits import RiskLimits
from gateway.triggers.parts import Gtts


class InstrumentSync(Protocol):
    """Downloads the broker's instrument file; one at a time."""

    @property
    def state(self) -> str:
        """``ok``, ``syncing``, ``none`` (never) or ``failed``."""
        ...

    @property
    def error(self) -> str: ...

    def sync(self, files: Mapping[str, bytes] | None = None) -> tuple[SyncReport, Mapping[str, int]]:
        """Now, in this thread; a second caller gets the first one's report. Raises broker errors."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the HTTP side of one api process is built from.

    Attributes:
        queue: Orders that wait, and the strategies whose alerts make them; None where there are none.
        analyzing: Whether orders go to the sandbox now.
        hide: Keeps a secret out of every log from now on.
        gtt, paper_gtt: GTT orders of the account and of the sandbox; None answers 501.
        risk: The limits that hold now.
        day_points: The line of the day's result, as it is kept.
        data_meter: The operator's limit on market-data requests; None where nobody counts.
        hours: When this venue trades; the simulated one may never close.
        egress: The address this machine sends from, as last seen.
        leases: Who may trade under which strategy id; None where nobody is asked.
        history: The market-data store; None answers 501.
        latency: Keeps stage times of orders; None where nobody does.
        sandbox: Paper trading; None where there is none.
        now: These parts in the instance's mode of this moment, which they keep: desk, market, ``analyzing``.
            None: they have one mode only. See ``modes``.
    """

    settings: Settings
    clock: Clock
    keys: Keys
    users: Users
    session: SessionManager
    desk: OrderDesk
    instruments: InstrumentStore
    market: Market
    sync: InstrumentSync
    limits: Limits
    started_at: str
    owner_code: OwnerCode
    preferences: Preferences
    risk: RiskLimits
    day_points: DayPoints
    calendar: FileCalendar = field(default_factory=FileCalendar)
    on_update: Callable[[OrderUpdate], None] = lambda update: None  # noqa: ARG005
    queue: Queue | None = None
    analyzing: Callable[[], bool] = lambda: False
    hide: Callable[[Secret], None] = lambda secret: None  # noqa: ARG005
    gtt: Gtts | None = None
    paper_gtt: Gtts | None = None
    sandbox: Sandbox | None = None
    data_meter: DataMeter | None = None
    leases: LeaseFile | None = None
    hours: Calendar = field(default_factory=AlwaysOpen)
    egress: Callable[[], Egress] = Egress
    history: History | None = None
    latency: Recorder | None = None
    now: Callable[[], Parts] | None = None


class OwnerCode(Protocol):
    """The one-time code that lets the first person make the owner account."""

    def current(self) -> str | None: ...

    def spend(self, text: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One valid request. ``received_ns``: wall time at which its head arrived."""

    data: dict[str, Any]
    received_ns: int
    headers: Headers


Handler = Callable[[Parts, Call], dict[str, Any] | Response]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method and path under ``/api/v1``.

    Attributes:
        limit: Name of the rate-limit class.
        style: How validation errors look: V1 to V4.
        auth: ``session`` (key and a live broker session), ``key``, ``none``.
        handler: None answers 501 after the key check.
        scope: What a key must be allowed; None lets every key in. Each row has to say it.
        scope_for: What this request needs in place of ``scope``; None where that holds.
        bad_key_status, bad_key_message: Where OpenAlgo differs from its 403.
        key_header: The key may also come as ``X-API-KEY``.
        bare_only: There is no form with a trailing slash (``/ticker/<symbol>``).
        brokerless: Whether a valid request needs no broker session after all.
    """

    method: str
    path: str
    limit: str
    style: str
    auth: str
    schema: type[Schema] = AnyBody
    handler: Handler | None = None
    scope: Scope | None = field(kw_only=True)
    bad_key_status: int = 403
    bad_key_message: str = ""
    key_header: bool = False
    bare_only: bool = False
    brokerless: Callable[[Mapping[str, Any]], bool] = lambda data: False  # noqa: ARG005
    scope_for: Callable[[Mapping[str, Any]], Scope | None] = lambda data: None  # noqa: ARG005
