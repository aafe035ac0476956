"""The blocking client: one thread owns the SUB socket, callers read what it has heard."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Self

import zmq

from brokers.model import InstrumentKey
from gateway.client.book import Book, LiveQuote, key_of
from gateway.client.rest import Rest, RestFailed


class Client:
    """Quotes of one instance. Safe to use from several threads; close it, or use it in a ``with``.

    Args:
        stream: Address of the instance's ZeroMQ stream, ``tcp://127.0.0.1:5556``.
        rest: Base URL of its REST API for what the stream does not have; empty for none.
        max_age_s: A tick older than this is stale: REST is asked, and its answer is good for as long.
    """

    def __init__(
        self,
        stream: str,
        *,
        rest: str = "",
        api_key: str = "",
        max_age_s: float = 5.0,
        timeout_s: float = 5.0,
    ) -> None:
        self._book = Book(max_age_s)
        self._rest = Rest(rest, api_key, timeout_s)
        self._lock = threading.Lock()
        self._address = stream
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._orders = self._context.socket(zmq.PAIR)
        name = f"inproc://client-{id(self)}"
        self._orders.bind(name)
        self._thread = threading.Thread(target=self._run, args=(name,), name="gateway.client", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def gaps(self) -> int:
        """Ticks missing by their numbers since the start."""
        return self._book.gaps

    def subscribe(self, *symbols: str) -> None:
        """Hear these from now on; the instance subscribes them at the broker.

        Args:
            symbols: ``NSE:SBIN``, ``NSE_INDEX:NIFTY``; a bare ``SBIN`` means NSE.
        """
        with self._lock:
            for topic in self._book.add(map(key_of, symbols)):
                self._orders.send(b"+" + topic)

    def unsubscribe(self, *symbols: str) -> None:
        """Hear these no more."""
        with self._lock:
            for topic in self._book.remove(map(key_of, symbols)):
                self._orders.send(b"-" + topic)

    def ltp(self, symbol: str) -> float:
        """The last price in rupees. Raises as ``quote``."""
        return self.quote(symbol).ltp

    def quote(self, symbol: str) -> LiveQuote:
        """The newest quote of the stream if it is fresh, else of REST; ``source`` says which.

        A symbol that was not subscribed is asked of REST.

        Raises:
            NoQuote: Neither has one.
        """
        key = key_of(symbol)
        with self._lock:
            found = self._book.fresh(key, datetime.now(UTC))
        return found or self._ask(key)

    def close(self) -> None:
        """End the thread and its sockets."""
        with self._lock:
            if self._orders.closed:
                return
            self._orders.send(b"!")
        self._thread.join(2.0)
        self._orders.close(0)
        self._context.term()

    def _ask(self, key: InstrumentKey) -> LiveQuote:
        try:
            found = self._rest.quote(key)
        except RestFailed as exc:
            with self._lock:
                raise self._book.explain(key, datetime.now(UTC), str(exc)) from exc
        with self._lock:
            self._book.keep(key, found)
        return found

    def _run(self, name: str) -> None:
        orders, ticks = self._context.socket(zmq.PAIR), self._context.socket(zmq.SUB)
        orders.connect(name)
        ticks.connect(self._address)
        poller = zmq.Poller()
        poller.register(orders, zmq.POLLIN)
        poller.register(ticks, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if orders in ready:
                    order = orders.recv()
                    if order == b"!":
                        return
                    ticks.setsockopt(zmq.SUBSCRIBE if order[:1] == b"+" else zmq.UNSUBSCRIBE, order[1:])
                if ticks in ready:
                    self._drain(ticks)
        finally:
            orders.close(0)
            ticks.close(0)

    def _drain(self, ticks: zmq.Socket[bytes]) -> None:
        with self._lock:
            for _ in range(1000):
                try:
                    parts = ticks.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    return
                if len(parts) == 2:
                    self._book.take(parts[0], parts[1])
