"""The light half of a broker: names, limits, addresses. Nothing here opens a socket or imports a library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from brokers.errors import NotSupported


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One env name that holds something the broker gave the user.

    Attributes:
        env: Name in ``instances/<name>.env``.
        where: Where a person finds the value at the broker, one line.
        required: An instance cannot log in without it (alternatives are checked by ``auth``).
        secret: Never shown, not even in ``--json``.
        aliases: Other names read when ``env`` is absent.
    """

    env: str
    where: str
    required: bool = True
    secret: bool = True
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateWindow:
    """At most ``count`` requests in any rolling ``seconds``."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Facts about a broker a caller may ask for.

    Attributes:
        intervals: OpenAlgo interval -> broker's word, those the history call serves.
        history_exchanges: Exchanges with history; empty means none.
        feed_instruments: Largest number of instruments over all feed connections.
        quote_batch: Largest number of instruments of one quote call.
        margin_batch: Largest number of orders of one margin call; 1 where orders are summed one by one.
        tag_length: Characters of an order's tag the broker keeps.
        book_levels: Books deeper than five levels the feed serves (``DeepFeed``): levels -> exchanges.
        native_gtt: The broker keeps and triggers GTT orders itself (``Broker.gtt`` works).
        history_days: Interval -> most calendar days of one history call; what is not named is not pulled.
        history_years: Interval -> how far back its history reaches; not named: to the beginning.
        history_oi: History carries open interest.
    """

    exchanges: frozenset[str]
    intervals: Mapping[str, str]
    history_exchanges: frozenset[str]
    feed_instruments: int
    quote_batch: int
    tag_length: int
    modifications_per_order: int | None = None
    margin_batch: int = 1
    native_gtt: bool = False
    book_levels: Mapping[int, frozenset[str]] = field(default_factory=dict)
    history_days: Mapping[str, int] = field(default_factory=dict)
    history_years: Mapping[str, int] = field(default_factory=dict)
    history_oi: bool = False


@dataclass(frozen=True, slots=True)
class BrokerSpec:
    """The light half of a broker: safe to import in the supervisor.

    Attributes:
        endpoints: Name -> live URL. An env may override one as ``<BROKER>_<NAME>_URL``.
        sim_paths: Name -> path template of the same endpoint on the simulated broker's port, e.g.
            ``http://127.0.0.1:{port}/v2``.
        retired: Env name -> what replaced it (a warning, never an error).
        options: Env name -> default, for non-secret settings of this broker (``KOTAK_FEED=auto``).
        order_windows: Every window of the order class, already below the broker's published number.
        data_windows: Windows of market-data and book reads.
        login: What a login needs, in words.
        session: How long one lives, in words.
    """

    name: str
    title: str
    credentials: tuple[CredentialField, ...]
    endpoints: Mapping[str, str]
    sim_paths: Mapping[str, str]
    capabilities: Capabilities
    order_windows: tuple[RateWindow, ...]
    data_windows: tuple[RateWindow, ...]
    quote_windows: tuple[RateWindow, ...]
    aliases: tuple[str, ...] = ()
    retired: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    login: str = ""
    session: str = ""

    def interval_word(self, exchange: str, interval: str) -> str:
        """The broker's word for one of our intervals (``1m`` ... ``D``).

        Raises:
            NotSupported: The broker has no such candles, or none of this exchange.
        """
        word = self.capabilities.intervals.get(interval)
        if word is None:
            known = ", ".join(self.capabilities.intervals)
            raise NotSupported(f"{self.title} has no {interval} candles; it has {known}")
        if exchange not in self.capabilities.history_exchanges:
            raise NotSupported(f"{self.title} has no history of {exchange}")
        return word
