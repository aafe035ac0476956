"""What a refusal in prose is about."""

from __future__ import annotations

import pytest

from brokers.reasons import code_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("insufficient funds: required 4000.25, available 100.00", "INSUFFICIENT_MARGIN"),
        ("RMS:insufficient funds: required 1.00, available 0.00", "INSUFFICIENT_MARGIN"),
        ("RMS:Margin Exceeds,Required:81236.4, Available:1523.1 for entity account", "INSUFFICIENT_MARGIN"),
        ("Margin Shortfall [ MIS : 120.50 ]", "INSUFFICIENT_MARGIN"),
        ("Your available balance is not sufficient", "INSUFFICIENT_MARGIN"),
        ("price 900 is outside the circuit limits 700 - 850", "PRICE_OUT_OF_RANGE"),
        ("RMS:Rule: Check circuit limit including square off order exceeds", "PRICE_OUT_OF_RANGE"),
        ("17070 : The Price is out of the current execution range", "PRICE_OUT_OF_RANGE"),
        ("price 100.03 is not a positive multiple of tick size 0.05", "PRICE_OUT_OF_RANGE"),
        ("Price is not a multiple of the tick size", "PRICE_OUT_OF_RANGE"),
        ("quantity 10 is not a multiple of lot size 65", "INVALID_QUANTITY"),
        ("Quantity is not a multiple of the lot size", "INVALID_QUANTITY"),
        ("quantity must be positive", "INVALID_QUANTITY"),
        ("order quantity above freeze quantity", "INVALID_QUANTITY"),
        ("NSE is closed", "MARKET_CLOSED"),
        ("Market is Closed! Please place an AMO order", "MARKET_CLOSED"),
        ("Duplicate correlation id", "DUPLICATE_ORDER"),
        ("Invalid SecurityId", "SYMBOL_NOT_FOUND"),
        ("Invalid instrument/code", "SYMBOL_NOT_FOUND"),
        ("Trigger Price should be greater than Price", "INVALID_TRIGGER"),
        ("cannot sell 5 SBIN: only 0 held", None),
        ("order 1 is in transit; try again", None),
        ("Kill switch is active for the day", None),
        ("Missing required fields, bad values for parameters etc.", None),
        ("the margining system is being closed for maintenance", None),
        ("", None),
    ],
)
def test_a_text_is_told_or_left_alone(text, code):
    assert code_of(text) == code
