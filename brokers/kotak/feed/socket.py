"""Where a Kotak market socket is: the same rule for both feeds."""

from __future__ import annotations

from brokers.contract import BrokerSession
from brokers.feedsocket import MarketSocket
from brokers.kotak import SPEC


class KotakSocket(MarketSocket):
    """Base of both market feeds' sockets."""

    def url(self, session: BrokerSession) -> str:
        """The env's or simulator's address if it names one, else the config service's, else the fixed one."""
        fixed, named = (
            self._shared.endpoints.get(self.name, ""),
            session.attributes.get(f"{self.name}_url", ""),
        )
        return fixed if fixed and fixed != SPEC.endpoints[self.name] else (named or fixed)
