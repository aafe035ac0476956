"""Prose of exchanges and of brokers' risk checks -> our codes. Pure.

Both brokers refuse with one code for many things (Dhan DH-905 and DH-906) or with no code at all (an order
that their risk checks reject after it was taken: Dhan ``omsErrorDescription``, Kotak ``rejRsn``). What was
refused then stands in prose alone. A code found here tells the caller what it was about; nothing is retried,
settled or sent because of it, so a text nobody listed costs a coarser word, ``ORDER_REJECTED``.

Source: dhan-wire 2.7 and section 7, kotak-wire 2.8 and 3.5; texts as users reported them. First match counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TABLE: tuple[tuple[str, str], ...] = (
    ("INVALID_TRIGGER", r"trigger price"),
    (
        "INSUFFICIENT_MARGIN",
        r"insufficient (?:\w+ )?(?:funds?|balance|margin)|margin (?:exceeds|shortfall|required)|shortfall"
        r"|(?:funds?|balance|margin) (?:is|are) (?:insufficient|not (?:sufficient|enough|available))"
        r"|not enough (?:funds?|balance|margin)",
    ),
    ("DUPLICATE_ORDER", r"\bduplicate|order (?:with this \w+ )?already exists"),
    (
        "MARKET_CLOSED",
        r"(?:market|exchange|session|segment) (?:is |has )?(?:now |currently )?(?:closed|not open|ended)"
        r"|\b(?:NSE|BSE|NFO|BFO|MCX|CDS|BCD) is closed|outside (?:market|trading) hours",
    ),
    (
        "INVALID_QUANTITY",
        r"lot size|multiple of (?:the )?(?:\w+ )?lot|market lot|freeze (?:quantity|qty)|quantity freeze"
        r"|(?:quantity|qty) (?:must|should|is (?:not|invalid|above|below)|exceeds|cannot)"
        r"|invalid (?:quantity|qty)",
    ),
    (
        "PRICE_OUT_OF_RANGE",
        r"circuit|price (?:band|range|protection)|execution range|\bDPR\b|\bLPP\b|tick size"
        r"|price (?:\S+ )?(?:is )?(?:outside|beyond|out of|not within|not a multiple)",
    ),
    (
        "SYMBOL_NOT_FOUND",
        r"(?:invalid|unknown|no such) (?:security ?id|security|scrip|symbol|instrument|trading ?symbol)"
        r"|(?:security|scrip|symbol|instrument) (?:id )?(?:is )?(?:invalid|unknown|not found)",
    ),
)
_RULES = tuple((code, re.compile(text, re.IGNORECASE)) for code, text in _TABLE)
LONGEST = 500


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a broker's error body says, by its own code; both empty (and false) when it refuses nothing."""

    code: str
    message: str

    def __bool__(self) -> bool:
        return bool(self.code or self.message)


def code_of(text: str) -> str | None:
    """What a refusal is about; None when its words are not among those listed."""
    return next((code for code, rule in _RULES if rule.search(text[:LONGEST])), None)
