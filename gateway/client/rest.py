"""The one REST call a client falls back to."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from brokers.model import INDEX_EXCHANGES, InstrumentKey
from gateway.client.book import LiveQuote, from_depth, from_quotes


class RestFailed(Exception):
    """REST gave no quote; the text says why."""


class Rest:
    """Asks an instance for one quote.

    Args:
        base: ``http://127.0.0.1:5001``; empty: there is no REST to fall back to.
    """

    def __init__(self, base: str, api_key: str, timeout_s: float) -> None:
        self._base = base.rstrip("/")
        self._api_key = api_key
        self._timeout_s = timeout_s

    def quote(self, key: InstrumentKey) -> LiveQuote:
        """Depth, because only it has quantities; the quote of an index. Blocks.

        Raises:
            RestFailed: No answer, a refusal, or an answer without a price.
        """
        if not self._base:
            raise RestFailed("no address given")
        is_index = key.exchange in INDEX_EXCHANGES
        data = self._post("quotes" if is_index else "depth", key)
        try:
            return (from_quotes if is_index else from_depth)(key, data, datetime.now(UTC))
        except (KeyError, TypeError, ValueError) as exc:
            raise RestFailed(f"an answer without a price ({exc})") from exc

    def _post(self, path: str, key: InstrumentKey) -> Mapping[str, Any]:
        body = json.dumps({"apikey": self._api_key, "exchange": key.exchange, "symbol": key.symbol}).encode()
        request = urllib.request.Request(
            f"{self._base}/api/v1/{path}", body, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as exc:
            raise RestFailed(_said(exc)) from exc
        except (OSError, ValueError) as exc:
            raise RestFailed(f"{type(exc).__name__}: {exc}") from exc
        data = found.get("data") if isinstance(found, dict) else None
        if not isinstance(data, dict):
            raise RestFailed("an answer without data")
        return data


def _said(exc: urllib.error.HTTPError) -> str:
    try:
        message = json.loads(exc.read()).get("message")
    except (OSError, ValueError, AttributeError):
        message = None
    return f"HTTP {exc.code}{f': {message}' if message else ''}"
