"""What every broker folder offers. ``tests/contract/`` runs one set of claims against all of them.

A broker is one folder with the rooms ``auth wire rest mapping instruments feed``, in its ``__init__`` a light
``SPEC`` (``brokers.spec``), and in its ``broker`` a ``BROKER`` that ``brokers.registry.open_broker`` loads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from brokers.calendar import AlwaysOpen, Calendar
from brokers.clock import Clock
from brokers.model import (
    Candle,
    Depth,
    FeedCounters,
    FeedState,
    Funds,
    Gtt,
    GttPlacement,
    GttRequest,
    Holding,
    Instrument,
    InstrumentKey,
    Mode,
    Order,
    OrderChange,
    OrderRequest,
    OrderUpdate,
    Placement,
    Position,
    Quote,
    Tick,
    Trade,
)
from brokers.secret import Secret
from brokers.spec import BrokerSpec as BrokerSpec
from brokers.spec import Capabilities as Capabilities
from brokers.spec import CredentialField as CredentialField
from brokers.spec import RateWindow as RateWindow


@dataclass(frozen=True, slots=True)
class BrokerSession:
    """A live broker login.

    Attributes:
        account: The broker's client id (not secret).
        secrets: Everything that must be encrypted at rest (``token``, ``sid`` …).
        attributes: Everything else the login answered (base URL, data centre, feed URLs).
        expires_at: Aware UTC; from the token's own ``exp`` where it has one.
        generation: Grows with every login of this instance; a feed that fails with generation N asks for >N.
    """

    broker: str
    account: str
    secrets: Mapping[str, Secret]
    attributes: Mapping[str, str]
    issued_at: datetime
    expires_at: datetime
    generation: int = 0

    def to_plain(self) -> dict[str, Any]:
        """Revealed, JSON-ready; the caller encrypts it at once."""
        return {
            "broker": self.broker,
            "account": self.account,
            "secrets": {k: v.reveal() for k, v in self.secrets.items()},
            "attributes": dict(self.attributes),
            "issued_at": self.issued_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "generation": self.generation,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> BrokerSession:
        """The opposite of ``to_plain``. Raises ``KeyError`` or ``ValueError`` for what that did not make."""
        return cls(
            broker=plain["broker"],
            account=plain["account"],
            secrets={k: Secret(v) for k, v in plain["secrets"].items()},
            attributes=dict(plain["attributes"]),
            issued_at=datetime.fromisoformat(plain["issued_at"]),
            expires_at=datetime.fromisoformat(plain["expires_at"]),
            generation=int(plain["generation"]),
        )

    def with_generation(self, generation: int) -> BrokerSession:
        """The same session under a number; its owner counts."""
        return replace(self, generation=generation)


class InstrumentLookup(Protocol):
    """Read side of an instance's instrument table. Thread-safe, cached, never loads the whole table."""

    def by_key(self, key: InstrumentKey) -> Instrument | None:
        """By our name."""
        ...

    def by_token(self, broker_exchange: str, token: str) -> Instrument | None:
        """By the broker's segment word and id, which are unique only together."""
        ...

    def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> Instrument | None:
        """By the broker's segment word and order symbol."""
        ...


class Auth(Protocol):
    """Credentials -> session."""

    def login(self, *, totp: str | None = None) -> BrokerSession:
        """Make a new session.

        Args:
            totp: A code the person typed; otherwise derived from a stored seed where there is one.

        Raises:
            SettingsError: Credentials are missing for any way to log in; says which.
            LoginRequired: The broker refused them.
            BrokerDown: The broker did not answer.
        """
        ...

    def renew(self, session: BrokerSession) -> BrokerSession:
        """A session that lives longer; may be the same as ``login``. Raises as ``login``."""
        ...


@dataclass(frozen=True, slots=True)
class MarginLeg:
    """One order whose margin is asked for; it is not sent.

    Attributes:
        price: Rupees at which a MARKET or SL-M order would be valued, None when nobody knows; the others
            are valued at their own price.
    """

    order: OrderRequest
    instrument: Instrument
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Margin:
    """What some orders would block together, rupees. None: this broker does not say.

    Attributes:
        benefit: What hedging saves, already taken off ``total``.
    """

    total: Decimal
    span: Decimal | None = None
    exposure: Decimal | None = None
    benefit: Decimal | None = None

    def __add__(self, other: Margin) -> Margin:
        """Two calls' worth. A part that one of them does not know is not known of the sum."""

        def both(a: Decimal | None, b: Decimal | None) -> Decimal | None:
            return None if a is None or b is None else a + b

        return Margin(
            self.total + other.total,
            both(self.span, other.span),
            both(self.exposure, other.exposure),
            both(self.benefit, other.benefit),
        )


class Rest(Protocol):
    """The broker's REST calls. Synchronous and thread-safe; takes the newest session from its source.

    Reads may be retried inside with backoff. Writes are sent once. Every call raises: ``LoginRequired``,
    ``RateLimited``, ``BrokerDown`` (for a write: provably nothing left), ``WireError`` (reads only),
    ``NotSupported``. Writes further raise ``OrderRejected``, ``IpNotAllowed``, ``OutcomeUnknown``.
    """

    def place(self, order: OrderRequest, instrument: Instrument, tag: str, *, ltp: float | None) -> Placement:
        """Send one order, once.

        Args:
            ltp: Last known price for the broker's price-protection rule, None if not known.
        """
        ...

    def modify(self, change: OrderChange, order: Order, instrument: Instrument) -> Placement:
        """Send the whole terms of an order again, once.

        Args:
            order: The order as the book shows it; some brokers want what cannot change, too.
        """
        ...

    def cancel(self, order_id: str) -> None:
        """Ask for the end of an order, once. That it ended only the book says."""
        ...

    def orders(self) -> list[Order]:
        """Today's order book; an empty list only when the broker says it is empty."""
        ...

    def find_tag(self, tag: str) -> list[Order]:
        """Evidence for an unknown outcome.

        Orders carrying our tag (exact, or as a prefix where the broker rewrites tags). Empty only from a
        healthy read.
        """
        ...

    def trades(self) -> list[Trade]:
        """Today's fills; empty only when the broker says so."""
        ...

    def positions(self) -> list[Position]:
        """Net positions, the day's closed ones with quantity 0; empty only when the broker says so."""
        ...

    def holdings(self) -> list[Holding]:
        """Of the demat account; empty only when the broker says so."""
        ...

    def funds(self) -> Funds:
        """Rupees as the broker counts them."""
        ...

    def margin(self, legs: Sequence[MarginLeg]) -> Margin:
        """Margin of one or more new orders, existing positions and orders left aside.

        A read: nothing is sent to the exchange.

        Raises:
            InvalidRequest: No leg, or one without a price the broker needs.
        """
        ...

    def quotes(self, instruments: Sequence[Instrument]) -> dict[InstrumentKey, Quote]:
        """One call's worth (``quote_batch``) or more, split inside. Missing keys: the broker had none."""
        ...

    def candles(self, instrument: Instrument, interval: str, start: date, end: date) -> list[Candle]:
        """Ascending, both dates inclusive (IST trading dates); chunked inside by the broker's limits."""
        ...


@runtime_checkable
class RawHistory(Protocol):
    """REST that passes a history answer on unread.

    Who wants candles of it has the broker's pure ``mapping.history``; the market-data store is filled this
    way.
    """

    def raw_candles(self, instrument: Instrument, interval: str, start: date, end: date) -> bytes:
        """One broker call, sent once: the body as it came, also the one that says there is no data.

        Args:
            start, end: IST trading dates, both inclusive, at most ``history_days`` apart.

        Raises:
            NotSupported: An interval or exchange without history.
            BrokerError: As any read of ``Rest``; a 429 is not waited for.
        """
        ...


@runtime_checkable
class KnowsAddresses(Protocol):
    """A broker that tells which addresses it takes orders from."""

    def registered_ips(self) -> tuple[str, ...]:
        """In the usual spelling; empty when none is registered. Raises as any read."""
        ...


class GttRest(Protocol):
    """GTT orders the broker keeps and triggers. Thread-safe; raises as ``Rest``, writes are sent once.

    Only brokers with ``Capabilities.native_gtt`` have it.
    """

    def place_gtt(self, gtt: GttRequest, instrument: Instrument, tag: str) -> GttPlacement:
        """Place one, once. ``tag`` marks it as ours as far as the broker keeps tags here."""
        ...

    def modify_gtt(self, trigger_id: str, gtt: GttRequest, leg: int, instrument: Instrument) -> None:
        """Replace the terms of one leg (brokers take them one at a time)."""
        ...

    def cancel_gtt(self, trigger_id: str) -> None:
        """Ask for its end, once. That it ended only ``gtts`` says."""
        ...

    def gtts(self) -> list[Gtt]:
        """Every one the broker still shows, ended ones too; empty only when it says there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ParsedInstruments:
    """Rows fit for the table, and what was left out and why (reason -> count)."""

    rows: list[Instrument]
    skipped: Mapping[str, int]


class InstrumentSource(Protocol):
    """The broker's instrument master."""

    def download(self) -> Mapping[str, bytes]:
        """File name -> whole content. Raises ``BrokerDown``."""
        ...

    def parse(self, files: Mapping[str, bytes], today: date) -> ParsedInstruments:
        """Pure. One row per (exchange, symbol). Raises ``WireError`` when a file is not what it should be."""
        ...


class FeedSink(Protocol):
    """Where a feed puts what it heard. Called on the feed's event loop; must not block."""

    def on_tick(self, tick: Tick) -> None:
        """All that is known of one instrument after one packet."""
        ...

    def on_order(self, update: OrderUpdate) -> None:
        """A pushed change of one order."""
        ...

    def on_book(
        self, key: InstrumentKey, levels: int, book: Callable[[], Depth] | None, received_ns: int
    ) -> None:
        """A book deeper than five levels, undecoded; only after ``DeepFeed.want_levels``.

        ``None``: it is no longer kept up to date.
        """
        ...

    def on_state(self, state: FeedState, reason: str) -> None:
        """The feed's state changed; the reason is for a person, empty when there is nothing to say."""
        ...

    def on_bad_frame(self, frame: bytes, reason: str) -> None:
        """Bytes nobody could read, already counted; the stream goes on."""
        ...

    def on_refused(self, key: InstrumentKey, reason: str) -> None:
        """An instrument the feed will not carry (over the limit, unknown to the broker); the others go on."""
        ...


class Tap(Protocol):
    """Hears what the market sockets of a feed hear, for a recorder.

    Called on the feed's loop; must not block or raise.
    """

    def opened(self, socket: str) -> None:
        """A new connection of this socket (its handler's name); what follows is its login."""
        ...

    def frame(self, socket: str, data: bytes | str, received_ns: int, *, login: bool) -> None:
        """One message, before anybody has looked at it. ``login``: read by ``SocketHandler.opened``."""
        ...

    def closed(self, socket: str) -> None:
        """The connection is gone."""
        ...


SessionSource = Callable[[], BrokerSession]
"""Newest stored session; raises ``LoginRequired`` when there is none."""

AsyncSessionSource = Callable[[int], Awaitable[BrokerSession]]
"""Given the generation that failed (0 at first), the newest session with a greater one; asks for a renewal
and waits if need be. Raises ``LoginRequired``."""


class Feed(Protocol):
    """One broker feed: market data and, where the broker has one, order updates. Lives on one event loop."""

    counters: FeedCounters

    async def run(self) -> None:
        """Connect, restore every wanted subscription, read, reconnect with backoff and jitter.

        Returns only when cancelled.
        """
        ...

    def want(self, instrument: Instrument, mode: Mode | None) -> None:
        """Set the mode wanted for one instrument; ``None`` drops it. Idempotent; sent batched."""
        ...


@runtime_checkable
class RousableFeed(Protocol):
    """A feed that can be told from outside that it is mute although its sockets look well."""

    def rouse(self, *, new_socket: bool) -> None:
        """Subscribe everything again, or drop the market sockets and make new ones. Never blocks."""
        ...


@runtime_checkable
class DeepFeed(Protocol):
    """A feed that also carries books deeper than five levels (``Capabilities.book_levels``)."""

    def want_levels(self, instrument: Instrument, levels: int) -> str:
        """Set the depth of an instrument's book (one of ``book_levels``, 0 for none). Idempotent.

        Returns:
            Why it will not be carried, empty when it will.
        """
        ...


@dataclass(frozen=True, slots=True)
class BrokerContext:
    """What a broker needs from the outside.

    Attributes:
        calendar: Tells a feed whether silence means anything now.
        write_timeout_s: Longest wait for the answer to a write once it is sent; None: the transport's own.
        tap: Told of every frame of the market sockets while a recording is on.
    """

    credentials: Mapping[str, Secret]
    endpoints: Mapping[str, str]
    options: Mapping[str, str]
    clock: Clock
    instruments: InstrumentLookup
    calendar: Calendar = field(default_factory=AlwaysOpen)
    write_timeout_s: float | None = None
    tap: Tap | None = None


class Broker(Protocol):
    """The heavy half, made by ``brokers.registry.open_broker``."""

    @property
    def spec(self) -> BrokerSpec:
        """Its light half."""
        ...

    def auth(self, context: BrokerContext) -> Auth:
        """Credentials -> session. Raises ``SettingsError`` for options that are wrong, as all of these."""
        ...

    def rest(self, context: BrokerContext, session: SessionSource) -> Rest:
        """The REST calls."""
        ...

    def gtt(self, context: BrokerContext, session: SessionSource) -> GttRest:
        """Raises ``NotSupported`` where the broker keeps no GTT orders (``native_gtt`` is False)."""
        ...

    def instruments(self, context: BrokerContext, session: SessionSource) -> InstrumentSource:
        """The instrument master."""
        ...

    def feed(self, context: BrokerContext, session: AsyncSessionSource, sink: FeedSink) -> Feed:
        """A feed for one event loop; nothing connects before ``Feed.run``."""
        ...
