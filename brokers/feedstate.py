"""What a feed's sockets share: the session to use, and the one state they add up to."""

from __future__ import annotations

from brokers.contract import AsyncSessionSource, BrokerSession, FeedSink
from brokers.errors import LoginRequired
from brokers.model import FeedState

ORDER_UPDATES = "order updates"
MARKET = "market"
_WORST_FIRST = (
    FeedState.STOPPED,
    FeedState.LOGIN_NEEDED,
    FeedState.BACKOFF,
    FeedState.SILENT,
    FeedState.CONNECTING,
    FeedState.LIVE,
)


class Sessions:
    """Newest session for all sockets of a feed.

    One renewal after a refusal, then no more until a person or the api process made a newer one. Endless
    renewals would kill the token under everybody else.
    """

    def __init__(self, source: AsyncSessionSource) -> None:
        self._source = source
        self._refused: set[int] = set()
        self._in_a_row = 0
        self._stopped: tuple[int, str] | None = None

    async def __call__(self, failed_generation: int) -> BrokerSession:
        """As ``contract.AsyncSessionSource``."""
        if failed_generation and failed_generation not in self._refused:
            self._refused.add(failed_generation)
            self._in_a_row += 1
            if self._in_a_row > 1:
                self.stop(failed_generation, "a renewed session was refused too")
        if self._stopped is None:
            return await self._source(failed_generation)
        generation, reason = self._stopped
        newest = await self._source(0)
        if newest.generation <= generation:
            raise LoginRequired(f"{reason}; log in again")
        self._stopped, self._in_a_row = None, 0
        return newest

    def stop(self, generation: int, reason: str) -> None:
        """No renewal would help; wait for a session newer than this one."""
        self._stopped = (generation, reason)

    def worked(self) -> None:
        """Data came; whatever was refused before is over."""
        self._in_a_row = 0


class Reports:
    """Many sockets, one state: the worst of the market sockets, with what every troubled socket says."""

    def __init__(self, sink: FeedSink) -> None:
        self._sink = sink
        self._known: dict[str, tuple[FeedState, str]] = {}
        self._been_live: set[str] = set()
        self._last: tuple[FeedState, str] | None = None

    def put(self, name: str, state: FeedState, reason: str) -> None:
        """What one socket says of itself; told on when it changes the whole."""
        self._known[name] = (state, reason)
        if state is FeedState.LIVE:
            self._been_live.add(name)
        market = [s for n, (s, _) in self._known.items() if n.startswith(MARKET) and self._counts(n)]
        worst = min(market, key=_WORST_FIRST.index) if market else FeedState.CONNECTING
        troubles = [f"{n}: {r or s}" for n, (s, r) in self._known.items() if r or s is not FeedState.LIVE]
        report = (worst, "; ".join(troubles))
        if report != self._last:
            self._last = report
            self._sink.on_state(*report)

    def _counts(self, name: str) -> bool:
        """A socket that joins a pool which is live takes nothing away from it."""
        joining = self._known[name][0] is FeedState.CONNECTING and name not in self._been_live
        return not joining or not self._been_live
