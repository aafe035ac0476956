"""Load mode's way out of the simulated Dhan: ticker, quote and full packets of the load symbols.

Every packet is made once from an ordinary snapshot; a tick only writes last price and trade time into it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import timedelta

from brokers.sim import load
from brokers.sim.dhan import ids, wire
from brokers.sim.dhan.gate import Desk
from brokers.sim.dhan.packets import Packets
from brokers.sim.dhan.sockets import Socket
from brokers.sim.exchange.types import BookLevel, Listing, Snapshot

TICKER, QUOTE, FULL = 15, 17, 21
_SEGMENT = ids.SEGMENTS["NSE"]
_PRICE = struct.Struct("<f")
_TIME = struct.Struct("<I")
_PRICE_AT = 8
_TIME_AT = {TICKER: 12, QUOTE: 14, FULL: 14}


class LoadLane:
    """Implements ``brokers.sim.load.Lane`` over the live feed's sockets."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._packets = Packets(desk.directory)
        # by number of the symbol: what each (socket, mode) gets
        self._readers: list[dict[tuple[Socket, int], bytearray]] = [{} for _ in range(load.COUNT)]
        self._sockets: set[Socket] = set()
        self._waiting: dict[Socket, list[bytes]] = {}
        self._raw_time = 0

    def arm(self) -> None:
        if not self._desk.extra:
            for listing in load.LISTINGS:
                self._desk.directory.name(listing)
            self._desk.extra = load.LISTINGS

    def subscribe(self, socket: Socket, mode: int, wanted: Iterable[tuple[str, int]]) -> None:
        for number in self._numbers(wanted):
            template = self._template(load.LISTINGS[number], mode)
            self._readers[number][socket, mode] = template
            self._sockets.add(socket)

    def unsubscribe(self, socket: Socket, mode: int, wanted: Iterable[tuple[str, int]]) -> None:
        for number in self._numbers(wanted):
            self._readers[number].pop((socket, mode), None)

    def drop(self, socket: Socket) -> None:
        """A client has gone."""
        self._waiting.pop(socket, None)
        self._sockets.discard(socket)
        for readers in self._readers:
            for key in [key for key in readers if key[0] is socket]:
                del readers[key]

    def put(self, number: int, paise: int) -> None:
        for (socket, mode), packet in self._readers[number].items():
            _PRICE.pack_into(packet, _PRICE_AT, paise / 100)
            _TIME.pack_into(packet, _TIME_AT[mode], self._raw_time)
            self._waiting.setdefault(socket, []).append(bytes(packet))

    def flush(self, packed: int) -> None:
        waiting, self._waiting = self._waiting, {}
        for socket, packets in waiting.items():
            if packed > 1:
                packets = [b"".join(packets[at : at + packed]) for at in range(0, len(packets), packed)]
            socket.write(b"".join(map(load.binary_frame, packets)))
        self._raw_time = wire.wall_epoch(self._desk.clock.now())

    def backlog(self) -> int:
        return max((socket.backlog for socket in self._sockets), default=0)

    def readers(self) -> int:
        return sum(1 for readers in self._readers if readers)

    def _numbers(self, wanted: Iterable[tuple[str, int]]) -> list[int]:
        if not self._desk.extra:
            return []
        found = (load.number_of(security_id) for segment, security_id in wanted if segment == _SEGMENT)
        return [number for number in found if number is not None]

    def _template(self, listing: Listing, mode: int) -> bytearray:
        market = self._market(listing)
        if mode == TICKER:
            return bytearray(self._packets.ticker(market))
        encode = self._packets.quote if mode == QUOTE else self._packets.full
        return bytearray(encode(market))

    def _market(self, listing: Listing) -> Snapshot:
        """A plausible day around the middle of the price range."""
        now = self._desk.clock.now()
        middle = load.BASE_PAISE + load.SEQ_MOD // 2
        sides = [
            tuple(BookLevel(middle + sign * (5 + 5 * n), 100 + 25 * n, 3 + n) for n in range(5))
            for sign in (-1, 1)
        ]
        return Snapshot(
            listing=listing,
            at=now,
            seq=0,
            ltp_paise=middle,
            open_paise=middle - 5_000,
            high_paise=load.BASE_PAISE + load.SEQ_MOD,
            low_paise=load.BASE_PAISE,
            prev_close_paise=middle - 2_500,
            average_paise=middle,
            last_quantity=25,
            last_trade_at=now - timedelta(seconds=1),
            volume=1_234_567,
            oi=0,
            oi_day_high=0,
            oi_day_low=0,
            prev_oi=0,
            total_buy=400_000,
            total_sell=410_000,
            lower_circuit_paise=load.BASE_PAISE // 2,
            upper_circuit_paise=load.BASE_PAISE * 3,
            bids=sides[0],
            asks=sides[1],
        )
