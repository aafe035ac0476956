"""A broker's words for sides, price types and products -> ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from brokers.errors import WireError
from brokers.model import Action, PriceType


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tables of one broker; its words in capitals."""

    action: Mapping[str, Action]
    price_type: Mapping[str, PriceType]
    product: Mapping[str, str]

    def action_of(self, word: object) -> Action:
        """A side, in any case. Raises ``WireError`` for a word that is none."""
        try:
            return self.action[str(word).strip().upper()]
        except KeyError:
            raise WireError(f"unknown side {str(word)[:10]!r}") from None

    def price_type_of(self, word: object) -> PriceType:
        """A price type, in any case. Raises ``WireError`` for a word that is none."""
        try:
            return self.price_type[str(word).strip().upper()]
        except KeyError:
            raise WireError(f"unknown price type {str(word)[:10]!r}") from None

    def product_of(self, word: object) -> str:
        """Our product; one without a name in OpenAlgo stays as the broker writes it, in capitals."""
        found = "" if word is None else str(word).strip().upper()
        return self.product.get(found, found)
