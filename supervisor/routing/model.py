"""Values of the route."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from brokers.errors import AlgoError


class State(StrEnum):
    """Of one routed order.

    ``OPEN``: decided, on its way, or its outcome is not known. ``PLACED``: the instance has an order.
    ``NOTHING``: a smart order that had nothing to do. ``REFUSED``: the instance's answer stands for ever.
    ``NOT_SENT``: it provably never left for a broker and never will; the same id may be tried again.
    """

    OPEN = "open"
    PLACED = "placed"
    NOTHING = "nothing to do"
    REFUSED = "refused"
    NOT_SENT = "not sent"


class NotSent(AlgoError):
    """No connection was made: nothing of the request has left this process."""

    code = "ROUTE_NOT_SENT"


class Lost(AlgoError):
    """The request may have arrived, and no readable answer came."""

    code = "OUTCOME_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Order:
    """A new order as the caller sent it. ``body``: without the key, with its ``client_order_id``."""

    endpoint: str
    body: Mapping[str, Any]

    @property
    def client_order_id(self) -> str:
        return str(self.body["client_order_id"])

    @property
    def terms(self) -> str:
        """Equal for a repeat, different for another order."""
        return json.dumps([self.endpoint, self.body], sort_keys=True, default=str)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Where an order goes, why, and what was known of everybody then (for the journal)."""

    instance: str
    mode: str
    reason: str
    medians_ms: Mapping[str, float | None]
    candidates: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the journal. ``number`` is the caller's handle while nothing better is known: ``R17``."""

    number: int
    order: Order
    contract: str
    chosen: Chosen
    attempt: int
    state: State
    http: int
    answer: Mapping[str, Any]
    order_id: str
    created_ns: int
    settled_ns: int

    @property
    def shown_id(self) -> str:
        return f"{self.chosen.instance}:{self.order_id}" if self.order_id else f"R{self.number}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller is told."""

    http: int
    body: dict[str, Any]
