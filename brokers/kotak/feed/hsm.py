"""HSM topics -> ticks."""

from __future__ import annotations

from collections import deque
from functools import partial

from websockets.asyncio.client import ClientConnection

from brokers.contract import BrokerSession
from brokers.errors import WireError
from brokers.feedloop import AuthRefused
from brokers.feedsocket import Shared
from brokers.kotak.feed.socket import KotakSocket
from brokers.kotak.mapping.market import wire_key
from brokers.kotak.wire import hsm
from brokers.model import Depth, Level, Mode
from brokers.wants import Merged


class Channels:
    """Which channel carries which topic: 15 channels of 200. Pure."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}
        self._free = dict.fromkeys(hsm.CHANNELS, hsm.TOPICS_PER_CHANNEL)

    def take(self, topic: str) -> int | None:
        """The topic's channel, newly given if need be; None when all are full."""
        if topic in self._of:
            return self._of[topic]
        channel = next((c for c, room in self._free.items() if room), None)
        if channel is not None:
            self._of[topic] = channel
            self._free[channel] -= 1
        return channel

    def release(self, topic: str) -> int:
        channel = self._of.pop(topic)
        self._free[channel] += 1
        return channel


def topics_of(merged: Merged) -> list[str]:
    """Depth topics carry no last price, so depth is asked for together with the scrip topic."""
    key = wire_key(merged.instrument)
    if merged.is_index:
        return [f"if|{key}"]
    return [f"sf|{key}", f"dp|{key}"] if merged.mode is Mode.DEPTH else [f"sf|{key}"]


def apply_scrip(merged: Merged, topic: hsm.Topic) -> None:
    # each field by hand, and 32 bits read unsigned: calls of ``price`` and ``count`` took twice as long
    raw, scale, none = topic.raw, topic.divisor, hsm.NO_VALUE
    merged.quoted = True
    merged.ltp = raw[5] / scale if raw[5] != none else None
    merged.last_trade_ms = (raw[3] & 0xFFFFFFFF) * 1000 or None if raw[3] != none else None
    merged.volume = raw[4] & 0xFFFFFFFF if raw[4] != none else None
    merged.last_quantity = raw[6] & 0xFFFFFFFF if raw[6] != none else None
    merged.total_buy_quantity = raw[7] & 0xFFFFFFFF if raw[7] != none else None
    merged.total_sell_quantity = raw[8] & 0xFFFFFFFF if raw[8] != none else None
    merged.bid = raw[9] / scale if raw[9] != none else None
    merged.ask = raw[10] / scale if raw[10] != none else None
    merged.bid_quantity = raw[11] & 0xFFFFFFFF if raw[11] != none else None
    merged.ask_quantity = raw[12] & 0xFFFFFFFF if raw[12] != none else None
    merged.average_price = raw[13] / scale if raw[13] != none else None
    merged.low = raw[14] / scale if raw[14] != none else None
    merged.high = raw[15] / scale if raw[15] != none else None
    merged.open = raw[20] / scale if raw[20] != none else None
    merged.prev_close = raw[21] / scale if raw[21] != none else None
    merged.oi = raw[22] & 0xFFFFFFFF if raw[22] != none else None


def apply_index(merged: Merged, topic: hsm.Topic) -> None:
    merged.quoted = True
    merged.ltp, merged.prev_close = topic.price(2), topic.price(3)
    at_s = topic.count(4)
    merged.last_trade_ms = at_s * 1000 if at_s else None
    merged.high, merged.low, merged.open = topic.price(5), topic.price(6), topic.price(7)


def _levels(raw: tuple[int, ...], divisor: float) -> Depth:
    """Slots 2-6 and 7-11 prices, 12-16 and 17-21 sizes, 22-26 and 27-31 orders."""

    def side(price: int, size: int, orders: int) -> tuple[Level, ...]:
        return tuple(
            Level(
                raw[price + n] / divisor,
                0 if raw[size + n] == hsm.NO_VALUE else raw[size + n] & 0xFFFFFFFF,
                0 if raw[orders + n] == hsm.NO_VALUE else raw[orders + n] & 0xFFFFFFFF,
            )
            for n in range(5)
            if raw[price + n] != hsm.NO_VALUE
        )

    return Depth(side(2, 12, 22), side(7, 17, 27))


def apply_depth(merged: Merged, topic: hsm.Topic) -> None:
    # a copy: the topic changes under a tick that nobody has decoded yet
    merged.depth = partial(_levels, tuple(topic.raw), topic.divisor)
    bid, ask = topic.price(2), topic.price(7)
    if bid is not None:
        merged.bid, merged.bid_quantity = bid, topic.count(12)
    if ask is not None:
        merged.ask, merged.ask_quantity = ask, topic.count(17)


_APPLY = {"sf": apply_scrip, "if": apply_index, "dp": apply_depth}


class HsmSocket(KotakSocket):
    """One HSM connection."""

    name = "hsm"

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._reset()

    async def _login(self, socket: ClientConnection, session: BrokerSession) -> None:
        await socket.send(hsm.connect(session.secrets["token"].reveal(), session.secrets["sid"].reveal()))
        while True:
            data = await socket.recv()
            if not isinstance(data, bytes):
                continue
            for event in self._decoder.read(data):
                if isinstance(event, hsm.ConnectReply):
                    if not event.accepted:
                        raise AuthRefused("HSM refused token or sid")
                    return

    async def resubscribe(self, socket: ClientConnection) -> None:
        """A paused channel is one way to be silent: resume those in use before asking for everything anew."""
        used = set(self._sent.values())
        if used:
            await socket.send(hsm.resume(used))
        await super().resubscribe(socket)

    def _reset(self) -> None:
        self._decoder = hsm.Decoder()
        self._skips = 0
        self._reset_subscriptions()

    def _reset_subscriptions(self) -> None:
        self._channels = Channels()
        self._sent: dict[str, int] = {}
        self._refused: set[str] = set()
        self._over: set[str] = set()
        # requests whose status has not come yet; statuses carry no id and come in the order asked
        self._asked: deque[tuple[int, list[str], int]] = deque()

    async def _sync(self, socket: ClientConnection) -> None:
        wanted = {topic: merged for merged in self._wants for topic in topics_of(merged)}
        self._refused &= wanted.keys()
        dropped: dict[tuple[str, int], list[str]] = {}
        for topic in [t for t in self._sent if t not in wanted]:
            channel = self._channels.release(topic)
            del self._sent[topic]
            dropped.setdefault((topic[:2], channel), []).append(topic)
        if dropped:
            self._over.clear()  # there is room again
        for (_, channel), topics in dropped.items():
            await self._ask(socket, hsm.UNSUBSCRIBE, topics, channel)
        added: dict[tuple[str, int], list[str]] = {}
        for topic, merged in wanted.items():
            if topic in self._sent or topic in self._refused or topic in self._over:
                continue
            room = self._channels.take(topic)
            if room is None:
                most = len(hsm.CHANNELS) * hsm.TOPICS_PER_CHANNEL
                self._over.add(topic)
                self._refuse(merged, f"Symbol count exceeds maximum ({most}) for kotak (topics of HSM)")
                continue
            self._sent[topic] = room
            added.setdefault((topic[:2], room), []).append(topic)
        for (_, channel), topics in added.items():
            await self._ask(socket, hsm.SUBSCRIBE, topics, channel)

    def _refuse(self, merged: Merged, reason: str) -> None:
        self._shared.sink.on_refused(merged.instrument.key, reason)

    async def _ask(self, socket: ClientConnection, request: int, topics: list[str], channel: int) -> None:
        for start in range(0, len(topics), hsm.TOPICS_PER_FRAME):
            await socket.send(self._request(request, topics[start : start + hsm.TOPICS_PER_FRAME], channel))

    def _request(self, request: int, topics: list[str], channel: int) -> bytes:
        self._asked.append((request, topics, channel))
        build = hsm.subscribe if request == hsm.SUBSCRIBE else hsm.unsubscribe
        return build(topics, channel)

    def frame(self, data: bytes | str, received_ns: int) -> None:
        if isinstance(data, str):
            self.bad(data.encode(), "text where only binary frames are known")
            return
        try:
            for event in self._decoder.read(data):
                if isinstance(event, hsm.Topic):
                    self._topic(event, received_ns)
                elif isinstance(event, hsm.Status):
                    self._status(event)
                elif not event.accepted:
                    raise AuthRefused("HSM withdrew the session")
        except WireError as exc:
            self.bad(data, str(exc))
        number = self._decoder.due_acknowledgement()
        if number is not None:
            self._post(hsm.acknowledge(number))
        skips = self._decoder.skipped.total()
        if skips != self._skips:
            self._skips = skips
            self.bad(data, f"skipped so far: {dict(self._decoder.skipped)}")

    def _topic(self, topic: hsm.Topic, received_ns: int) -> None:
        self.count(f"hsm {topic.prefix}")
        merged = self._wants.find(topic.segment, topic.token)
        if merged is None:
            self._shared.counters.unknown_instruments += 1
            return
        if topic.prefix == "dp" and merged.mode is not Mode.DEPTH:
            return  # unsubscribed a moment ago
        _APPLY[topic.prefix](merged, topic)
        self.emit(merged, received_ns, live=not topic.snapshot)

    def _status(self, status: hsm.Status) -> None:
        self.count("hsm status")
        asked = next((a for a in self._asked if a[0] == status.request), None)
        if asked is None:
            return
        self._asked.remove(asked)
        request, topics, channel = asked
        if status.accepted or request != hsm.SUBSCRIBE:
            return
        if len(topics) == 1:
            self._refused_alone(topics[0])
            return
        # one bad topic refuses its whole frame: ask again by halves until it stands alone
        half = len(topics) // 2
        for part in (topics[:half], topics[half:]):
            self._post(self._request(hsm.SUBSCRIBE, part, channel))

    def _refused_alone(self, topic: str) -> None:
        prefix, segment, token = topic.split("|", 2)
        if self._sent.pop(topic, None) is not None:
            self._channels.release(topic)
        self._refused.add(topic)
        merged = self._wants.find(segment, token)
        if merged is not None:
            self._refuse(merged, f"HSM refused the {prefix} subscription")
