"""The words. Frozen values that travel between rooms; a broker's own words end at its ``mapping``.

Wall times are aware UTC ``datetime``; where a value is on the tick path it is an integer with its unit in
the name. Order prices are ``Decimal`` made from the request's text; feed prices are ``float`` as sent and
rounded to the instrument's tick size only where they are encoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import NamedTuple

from brokers.venue import Venue as Venue


class Exchange(StrEnum):
    """OpenAlgo's exchange codes, in the order its error text lists them."""

    NSE = "NSE"
    NFO = "NFO"
    CDS = "CDS"
    BSE = "BSE"
    BFO = "BFO"
    BCD = "BCD"
    MCX = "MCX"
    NCDEX = "NCDEX"
    NCO = "NCO"
    NSE_INDEX = "NSE_INDEX"
    BSE_INDEX = "BSE_INDEX"
    MCX_INDEX = "MCX_INDEX"
    GLOBAL_INDEX = "GLOBAL_INDEX"
    CRYPTO = "CRYPTO"


INDEX_EXCHANGES = frozenset(
    {Exchange.NSE_INDEX, Exchange.BSE_INDEX, Exchange.MCX_INDEX, Exchange.GLOBAL_INDEX}
)
DERIVATIVE_EXCHANGES = frozenset(
    {Exchange.NFO, Exchange.BFO, Exchange.MCX, Exchange.CDS, Exchange.BCD, Exchange.NCO, Exchange.NCDEX}
)


class Action(StrEnum):
    """A side."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def opposite(self) -> Action:
        """The other side."""
        return Action.SELL if self is Action.BUY else Action.BUY


class Product(StrEnum):
    """OpenAlgo's products: delivery, carried derivative, intraday."""

    CNC = "CNC"
    NRML = "NRML"
    MIS = "MIS"


class PriceType(StrEnum):
    """OpenAlgo's price types; ``SL`` has a limit, ``SL-M`` only a trigger."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


class OrderStatus(StrEnum):
    """What is known about an order at the broker. Values are OpenAlgo's words (``unknown`` is ours)."""

    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether nothing can happen to the order any more; ``unknown`` is not final."""
        return self in _FINAL


_FINAL = frozenset({OrderStatus.COMPLETE, OrderStatus.REJECTED, OrderStatus.CANCELLED})


class Mode(IntEnum):
    """OpenAlgo's streaming modes; a higher one contains the lower ones."""

    LTP = 1
    QUOTE = 2
    DEPTH = 3


@dataclass(frozen=True, slots=True, order=True)
class InstrumentKey:
    """The only instrument name above a broker's folder, in OpenAlgo's symbol grammar."""

    exchange: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of a broker's instrument table.

    Attributes:
        token: The broker's id; unique only together with ``broker_exchange``.
        broker_exchange: The broker's segment word (``NSE_FNO``, ``nse_fo``).
        broker_symbol: What the broker's order call wants or shows.
        feed_token: What the broker's feed and quote calls want, where it differs from ``token``
            (Kotak index names); empty otherwise.
        display_name: The broker's human name, e.g. ``ICICIGI 28 OCT 1860 CALL``.
        tick_size: Rupees. Zero for instruments that cannot be traded (indices).
        strike: Rupees; zero for anything but options.
        freeze_qty: Largest quantity of one order; 0 when the broker gives none.
        instrument_type: ``EQ``, ``INDEX``, ``FUT``, ``CE`` or ``PE``.
        name: Company for cash, underlying root for derivatives.
        expired: True once the contract's last day has passed; kept so that old orders still resolve.
    """

    key: InstrumentKey
    token: str
    broker_exchange: str
    broker_symbol: str
    name: str
    instrument_type: str
    lot_size: int
    tick_size: Decimal
    expiry: date | None = None
    strike: Decimal = Decimal(0)
    freeze_qty: int = 0
    feed_token: str = ""
    display_name: str = ""
    expired: bool = False


class Level(NamedTuple):
    """One price step of a book. A tuple, like ``Tick``: both are made on the hot path."""

    price: float
    quantity: int
    orders: int


class Depth(NamedTuple):
    """Best level first; as many levels as the broker sent (5, 20, 200)."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Tick(NamedTuple):
    """Everything known about one instrument after one packet. ``None`` means the broker never sent it.

    A tuple: as a frozen dataclass its 22 fields took 3.1 us to set, most of what decoding a packet costs.

    Attributes:
        received_ns: Wall time of the frame's arrival, nanoseconds since the epoch.
        last_trade_ms: Broker's last trade time, true UTC milliseconds since the epoch.
        depth: Undecoded levels; call it when somebody wants them.
        mode: The richest mode this tick can serve.
    """

    key: InstrumentKey
    mode: Mode
    received_ns: int
    ltp: float
    last_trade_ms: int | None = None
    last_quantity: int | None = None
    average_price: float | None = None
    volume: int | None = None
    total_buy_quantity: int | None = None
    total_sell_quantity: int | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    prev_close: float | None = None
    oi: int | None = None
    oi_day_high: int | None = None
    oi_day_low: int | None = None
    bid: float | None = None
    ask: float | None = None
    bid_quantity: int | None = None
    ask_quantity: int | None = None
    depth: Callable[[], Depth] | None = None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a caller wants done. Prices are zero when the price type does not use them."""

    key: InstrumentKey
    action: Action
    quantity: int
    price_type: PriceType
    product: Product
    price: Decimal = Decimal(0)
    trigger_price: Decimal = Decimal(0)
    disclosed_quantity: int = 0


@dataclass(frozen=True, slots=True)
class OrderChange:
    """A full resend of an order's terms (never a patch). ``quantity`` is the total, not the rest."""

    order_id: str
    quantity: int
    price_type: PriceType
    price: Decimal
    trigger_price: Decimal
    disclosed_quantity: int = 0


@dataclass(frozen=True, slots=True)
class SentTerms:
    """The price terms that really went to the broker after price protection."""

    price_type: PriceType
    price: Decimal
    trigger_price: Decimal


@dataclass(frozen=True, slots=True)
class Placement:
    """A broker's acknowledgement of a write. Times are monotonic-free wall nanoseconds for O9.

    Attributes:
        shown: The order as the broker shows it from then on, where the answer says that much (the sandbox).
    """

    order_id: str
    status: OrderStatus
    sent: SentTerms
    sent_ns: int
    acknowledged_ns: int
    shown: Order | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One row of the broker's order book, in our words.

    Attributes:
        tag: Our mark as the broker shows it; empty for orders placed elsewhere.
        raw_status: The broker's own word, for the person reading the journal.
        key: ``InstrumentKey`` when the instrument table knows it, else the broker's segment and symbol.
        in_transit: Still on its way to the exchange: the broker refuses to modify or cancel it meanwhile.
    """

    order_id: str
    key: InstrumentKey
    action: Action
    quantity: int
    price_type: PriceType
    product: str
    price: Decimal
    trigger_price: Decimal
    status: OrderStatus
    filled_quantity: int
    average_price: Decimal
    tag: str = ""
    raw_status: str = ""
    rejection_reason: str = ""
    exchange_order_id: str = ""
    placed_at: datetime | None = None
    updated_at: datetime | None = None
    in_transit: bool = False


class GttState(StrEnum):
    """What is known about a good-till-triggered order. Values are OpenAlgo's words (``unknown`` is ours)."""

    ACTIVE = "active"
    TRIGGERED = "triggered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class GttLeg:
    """One trigger and the price of the order it sends.

    Attributes:
        price: Limit in rupees; unused (and not sent) with price type MARKET.
        rises: Fires when the last price rises to the trigger; False: when it falls to it.
    """

    trigger_price: Decimal
    price: Decimal
    rises: bool


@dataclass(frozen=True, slots=True)
class GttRequest:
    """An order that waits for a price, for days.

    One leg, or two of which one fires (OCO): the falling one (stop) first, then the rising one (target).
    """

    key: InstrumentKey
    action: Action
    quantity: int
    price_type: PriceType
    product: Product
    legs: tuple[GttLeg, ...]

    def order(self, leg: int) -> OrderRequest:
        """The order a leg sends when it fires."""
        market = self.price_type is PriceType.MARKET
        price = Decimal(0) if market else self.legs[leg].price
        return OrderRequest(self.key, self.action, self.quantity, self.price_type, self.product, price)


@dataclass(frozen=True, slots=True)
class Gtt:
    """One good-till-triggered order as the broker that keeps it shows it.

    Attributes:
        legs: Lowest trigger first. Where the broker does not say which way a leg fires, one that stands
            alone counts as falling.
        price_type: None where the broker's list does not say.
        tag: Our mark as the broker shows it; empty when it shows none.
    """

    trigger_id: str
    key: InstrumentKey
    action: Action
    quantity: int
    price_type: PriceType | None
    product: str
    legs: tuple[GttLeg, ...]
    state: GttState
    tag: str = ""
    raw_status: str = ""
    reason: str = ""
    placed_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class GttPlacement:
    """A broker's acknowledgement of a new one. Wall nanoseconds."""

    trigger_id: str
    sent_ns: int
    acknowledged_ns: int


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill; price in rupees."""

    trade_id: str
    order_id: str
    key: InstrumentKey
    action: Action
    product: str
    quantity: int
    price: Decimal
    traded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Position:
    """Net position of one (instrument, product). ``quantity`` is signed; closed ones stay with 0."""

    key: InstrumentKey
    product: str
    quantity: int
    average_price: Decimal
    ltp: Decimal | None
    pnl: Decimal | None
    realized_pnl: Decimal | None = None
    unrealized_pnl: Decimal | None = None
    buy_quantity: int = 0
    sell_quantity: int = 0


@dataclass(frozen=True, slots=True)
class Holding:
    """One share in the demat account; rupees, None where the broker does not say."""

    key: InstrumentKey
    quantity: int
    average_price: Decimal
    ltp: Decimal | None
    pnl: Decimal | None
    pnl_percent: Decimal | None


@dataclass(frozen=True, slots=True)
class Funds:
    """Rupees. The first five are OpenAlgo's, each by its mapping of the broker.

    Attributes:
        available_margin: What new orders may use, by the broker's own figure; None when it does not say.
    """

    available_cash: Decimal
    collateral: Decimal
    m2m_realized: Decimal
    m2m_unrealized: Decimal
    utilised_debits: Decimal
    available_margin: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A REST snapshot; prices in rupees as the broker sent them."""

    key: InstrumentKey
    ltp: float
    open: float
    high: float
    low: float
    prev_close: float
    volume: int
    oi: int
    bid: float = 0.0
    ask: float = 0.0
    bid_quantity: int = 0
    ask_quantity: int = 0
    last_quantity: int = 0
    average_price: float = 0.0
    total_buy_quantity: int = 0
    total_sell_quantity: int = 0
    lower_circuit: float = 0.0
    upper_circuit: float = 0.0
    last_trade_ms: int | None = None
    depth: Depth | None = None


@dataclass(frozen=True, slots=True)
class Candle:
    """``opened_at_s``: true UTC epoch seconds of the bar's opening.

    A daily bar carries the trading date at 00:00 UTC (OpenAlgo's convention).
    """

    opened_at_s: int
    open: float
    high: float
    low: float
    close: float
    volume: int
    oi: int = 0


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """A pushed change of one order. ``seen_ns`` is the wall time of the frame's arrival."""

    order: Order
    seen_ns: int
    trade_price: Decimal | None = None


class FeedState(StrEnum):
    """State of one broker feed."""

    IDLE = "idle"
    CONNECTING = "connecting"
    LIVE = "live"
    SILENT = "silent"
    BACKOFF = "backoff"
    LOGIN_NEEDED = "login needed"
    STOPPED = "stopped"


@dataclass(slots=True)
class FeedCounters:
    """Counts since the feed started; read by status and metrics, written only on the feed's loop.

    ``order_connects``: how often the order socket was accepted; each one after the first had a gap before it.
    ``market_status``: the broker's segment -> what its feed last said about that market's session.
    """

    frames: int = 0
    packets: int = 0
    bytes: int = 0
    parse_errors: int = 0
    reconnects: int = 0
    unknown_instruments: int = 0
    last_frame_ns: int = 0
    order_connects: int = 0
    by_packet: dict[str, int] = field(default_factory=dict)
    market_status: dict[str, str] = field(default_factory=dict)

    def count(self, packet: str) -> None:
        """One more packet of this name."""
        self.packets += 1
        self.by_packet[packet] = self.by_packet.get(packet, 0) + 1
