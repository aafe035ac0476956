"""Values of the simulated exchange, shared by the engine and the venues in front of it.

Money and prices of orders are ``Decimal`` in rupees; market prices are integers in *paise* inside the price
path (so that they are exact and on tick) and become rupees where a venue encodes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

PAISA = Decimal("0.01")


def rupees(paise: int) -> Decimal:
    """Paise as rupees with two decimals."""
    return Decimal(paise).scaleb(-2)


class Kind(StrEnum):
    """What is listed. Values are OpenAlgo's words."""

    EQUITY = "EQ"
    INDEX = "INDEX"
    FUTURE = "FUT"
    CALL = "CE"
    PUT = "PE"


@dataclass(frozen=True, slots=True)
class Listing:
    """One tradable (or index) line of the simulated exchange.

    Attributes:
        exchange: OpenAlgo's code (``NSE``, ``NFO``, ``NSE_INDEX`` …).
        symbol: OpenAlgo's symbol (``SBIN``, ``NIFTY24NOV2626000CE``).
        token: Exchange token; unique per (exchange family, segment), stable for a seed and a date.
        root: Underlying root for derivatives (``NIFTY``), else the symbol.
        tick_paise: Price step; indices have 5 for display but cannot be traded.
        base_paise: Yesterday's close on the price path's anchor date.
        decimals: Of the smallest price unit: 2 is a paisa, which every field and price named ``paise``
            counts; an exchange with finer prices (currencies) has more, and counts those instead.
    """

    exchange: str
    symbol: str
    token: int
    kind: Kind
    name: str
    root: str
    isin: str
    lot_size: int
    tick_paise: int
    freeze_qty: int
    base_paise: int
    expiry: date | None = None
    strike_paise: int = 0
    weekly: bool = False
    decimals: int = 2

    @property
    def tradable(self) -> bool:
        return self.kind is not Kind.INDEX

    def rupees(self, units: int) -> Decimal:
        """A price in the smallest unit, as rupees."""
        return Decimal(units).scaleb(-self.decimals)

    def units(self, price: Decimal) -> int:
        """Rupees as a price in the smallest unit."""
        return int(price.scaleb(self.decimals))


@dataclass(frozen=True, slots=True)
class BookLevel:
    """One price step of a book."""

    price_paise: int
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The market of one listing at one instant.

    A pure function of (seed, listing, time) plus the user orders' own trades in volume. ``seq`` grows with
    every change and is what a tick stream compares.
    """

    listing: Listing
    at: datetime
    seq: int
    ltp_paise: int
    open_paise: int
    high_paise: int
    low_paise: int
    prev_close_paise: int
    average_paise: int
    last_quantity: int
    last_trade_at: datetime
    volume: int
    oi: int
    oi_day_high: int
    oi_day_low: int
    prev_oi: int
    total_buy: int
    total_sell: int
    lower_circuit_paise: int
    upper_circuit_paise: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


@dataclass(frozen=True, slots=True)
class SimCandle:
    """``opens_at``: aware UTC."""

    opens_at: datetime
    open_paise: int
    high_paise: int
    low_paise: int
    close_paise: int
    volume: int
    oi: int


class Side(StrEnum):
    """A side."""

    BUY = "BUY"
    SELL = "SELL"


class Type(StrEnum):
    """A price type. Values are OpenAlgo's words."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_LIMIT = "SL"
    STOP_MARKET = "SL-M"


class Status(StrEnum):
    """Exchange-side states; a venue renames them to its broker's words."""

    TRANSIT = "transit"
    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in (Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.EXPIRED)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a venue submits after its own checks and price protection.

    Attributes:
        product: ``CNC``, ``NRML`` or ``MIS`` (the venue translates its words).
        tag: Caller's mark, kept as sent.
        extra: Venue words kept with the order and shown in its book (order source, leg name …).
    """

    account: str
    listing: Listing
    side: Side
    type: Type
    product: str
    quantity: int
    price: Decimal = Decimal(0)
    trigger: Decimal = Decimal(0)
    disclosed: int = 0
    validity: str = "DAY"
    tag: str = ""
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class SimTrade:
    """One fill."""

    trade_id: str
    order_id: str
    account: str
    listing: Listing
    side: Side
    product: str
    quantity: int
    price: Decimal
    at: datetime


@dataclass(slots=True)
class SimOrder:
    """A live order; the engine changes it, venues read it."""

    order_id: str
    new: NewOrder
    status: Status
    created_at: datetime
    updated_at: datetime
    filled: int = 0
    average: Decimal = Decimal(0)
    exchange_order_id: str = ""
    accepted_at: datetime | None = None
    reason: str = ""
    modifications: int = 0
    tag: str = ""
    trades: list[SimTrade] = field(default_factory=list)
    refusal: RefusalCode | None = None

    @property
    def remaining(self) -> int:
        return self.new.quantity - self.filled


@dataclass(slots=True)
class SimPosition:
    """Day position of one (listing, product); carry-forward legs included."""

    listing: Listing
    product: str
    buy_qty: int = 0
    sell_qty: int = 0
    buy_value: Decimal = Decimal(0)
    sell_value: Decimal = Decimal(0)
    carry_buy_qty: int = 0
    carry_sell_qty: int = 0
    carry_buy_value: Decimal = Decimal(0)
    carry_sell_value: Decimal = Decimal(0)

    @property
    def net(self) -> int:
        return self.buy_qty + self.carry_buy_qty - self.sell_qty - self.carry_sell_qty

    @property
    def bought(self) -> tuple[int, Decimal]:
        """Quantity and rupees of every buy, carried ones included."""
        return self.buy_qty + self.carry_buy_qty, self.buy_value + self.carry_buy_value

    @property
    def sold(self) -> tuple[int, Decimal]:
        return self.sell_qty + self.carry_sell_qty, self.sell_value + self.carry_sell_value

    @property
    def average(self) -> Decimal:
        """Average price of the side that is open; 0 when flat."""
        if not self.net:
            return Decimal(0)
        quantity, value = self.bought if self.net > 0 else self.sold
        return value / quantity

    @property
    def realized(self) -> Decimal:
        """Rupees earned by the closed part, at average prices, to the paisa."""
        (bought, cost), (sold, proceeds) = self.bought, self.sold
        closed = min(bought, sold)
        if not closed:
            return Decimal(0)
        return ((proceeds / sold - cost / bought) * closed).quantize(PAISA)

    def total(self, price: Decimal) -> Decimal:
        """Realized and unrealized together, the open part valued at ``price`` (exact)."""
        return self.sold[1] - self.bought[1] + self.net * price

    def unrealized(self, price: Decimal) -> Decimal:
        return self.total(price) - self.realized


@dataclass(slots=True)
class SimHolding:
    """Shares in the demat account; rupees."""

    listing: Listing
    quantity: int
    average: Decimal


@dataclass(frozen=True, slots=True)
class SimFunds:
    """Rupees; ``available`` is what new orders may use."""

    opening: Decimal
    available: Decimal
    utilised: Decimal
    collateral: Decimal
    realized: Decimal
    unrealized: Decimal


class RefusalCode(StrEnum):
    """Why an order is refused; each venue has its own words for these."""

    LOT = "lot"
    TICK = "tick"
    FREEZE = "freeze"
    BAND = "band"
    MARGIN = "margin"
    PRODUCT = "product"
    CLOSED = "closed"
    TRIGGER = "trigger"
    NOT_TRADABLE = "not tradable"
    HOLDING = "no holding"
    FINAL = "already final"
    IN_TRANSIT = "in transit"
    NOT_FOUND = "not found"
    QUANTITY = "quantity"


class Refusal(Exception):
    """The exchange or its risk desk says no. Venues give it their broker's shape and text."""

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
