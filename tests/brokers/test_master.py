"""The table of an instrument master: columns by name, what is left out is counted."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from brokers.errors import WireError
from brokers.master import Collected, Skip, table
from brokers.model import Instrument, InstrumentKey

FILE = b"\xef\xbb\xbftoken ;, name;, lot\n1,SBIN,5\n\n2,INFY\n3,TCS,x\n4,BAD,1\n5,SBIN,7\n"


def share(line: tuple[str, ...]) -> Instrument:
    lot, token, name = line
    if name == "BAD":
        raise Skip("bad")
    return Instrument(InstrumentKey("NSE", name), token, "E", name, name, "EQ", int(lot), Decimal(1))


def test_columns_come_in_the_order_asked_for_whatever_surrounds_their_names() -> None:
    assert next(table(FILE, ("lot", "token", "name"), "f")) == ("5", "1", "SBIN")


def test_every_line_left_out_is_counted_and_the_first_of_two_stays() -> None:
    found = Collected()
    found.read(table(FILE, ("lot", "token", "name"), "f", found.skipped), share)
    parsed = found.parsed("Acme")
    assert [(row.key.symbol, row.lot_size) for row in parsed.rows] == [("SBIN", 5)]
    assert parsed.skipped == {"short row": 1, "unreadable number": 1, "bad": 1, "same symbol again": 1}


def test_a_short_line_nobody_counts_is_an_error_that_names_it() -> None:
    with pytest.raises(WireError, match="f line 4: 2 columns"):
        list(table(FILE, ("lot", "token"), "f"))


@pytest.mark.parametrize("content", [b"", b"<html>", b"lot\n1\n"])
def test_a_file_without_a_column_is_named(content: bytes) -> None:
    with pytest.raises(WireError, match="f: no .*token"):
        list(table(content, ("lot", "token"), "f", Counter()))


def test_no_row_at_all_is_an_error() -> None:
    with pytest.raises(WireError, match="Acme's instrument file has no usable row"):
        Collected().parsed("Acme")
