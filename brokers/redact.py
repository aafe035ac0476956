"""Secrets leave no trace in a log: a filter for the root logger."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from brokers.secret import Secret

_PATTERNS = (
    # JSON Web Tokens, wherever they stand
    re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]+){0,2}"),
    re.compile(
        r"(?i)((?:access[-_ ]?token|api[-_ ]?key|apikey|api[-_ ]?secret|authorization|auth|sid|mpin|pin|totp|"
        r"password|token)\\?[\"']?\s*[:=]\s*\\?[\"']?)(?!Secret\()([^\s\"'&,;}\\]{4,})"
    ),
)


class Redactor(logging.Filter):
    """Replaces known secret values, JSON Web Tokens and ``key=value`` credentials in every record."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        super().__init__()
        self._known = sorted({s.reveal() for s in secrets if len(s.reveal()) >= 4}, key=len, reverse=True)

    def add(self, secret: Secret) -> None:
        """A secret to cut out from now on."""
        value = secret.reveal()
        if len(value) >= 4 and value not in self._known:
            self._known = sorted({*self._known, value}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without known secrets, JSON Web Tokens and ``key=value`` credentials."""
        for value in self._known:
            if value in text:
                text = text.replace(value, "***")
        text = _PATTERNS[0].sub("***", text)
        return _PATTERNS[1].sub(r"\1***", text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Cleans the record in place; never drops it."""
        record.msg = self.clean(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self.clean(logging.Formatter().formatException(record.exc_info))
        return True
