"""Reading a broker's JSON rows: text, rupees and counts, with the broker's own spellings of "none"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from brokers.errors import WireError


@dataclass(frozen=True, slots=True)
class Fields:
    """How one broker writes fields.

    Attributes:
        nothing: Texts that mean "none", without blanks around them.
        commas: Numbers may carry thousands separators; elsewhere a comma makes them unreadable.
    """

    nothing: frozenset[str]
    commas: bool = False

    def text(self, value: object) -> str:
        """A value as text without blanks around it; every spelling of "none" becomes ``""``."""
        found = "" if value is None else str(value).strip()
        return "" if found in self.nothing else found

    def field(self, row: Mapping[str, Any], *names: str) -> str:
        """Text of the first named field that holds something, ``""`` when none does."""
        for name in names:
            if found := self.text(row.get(name)):
                return found
        return ""

    def money(self, value: object) -> Decimal:
        """Rupees from a JSON number or text, exact by its shortest text; "none" is zero.

        Raises:
            WireError: Anything that is no finite number.
        """
        found = self.text(value)
        try:
            number = Decimal(found.replace(",", "") if self.commas else found) if found else Decimal(0)
        except InvalidOperation as exc:
            raise WireError(f"expected a number, got {found[:40]!r}") from exc
        if not number.is_finite():
            raise WireError(f"expected a number, got {found[:40]!r}")
        return number

    def count(self, value: object) -> int:
        """A quantity in units, cut to a whole number; brokers send some as floats or text. As ``money``."""
        return int(self.money(value))
