"""One-time passwords against RFC 6238's table and an independent implementation."""

from __future__ import annotations

from base64 import b32encode
from datetime import UTC, datetime

import pyotp
import pytest

from brokers import totp

RFC_SEED = b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_of_the_rfc(seconds: int, code: str) -> None:
    assert totp.code(RFC_SEED, datetime.fromtimestamp(seconds, UTC)) == code


def test_codes_agree_with_pyotp() -> None:
    at = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
    seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    assert totp.code(seed, at) == pyotp.TOTP(seed).at(at)


@pytest.mark.parametrize("seed", ["JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "JBSWY3DPEHPK3PXP===="])
def test_short_seeds_blanks_and_case_are_fine(seed: str) -> None:
    assert totp.code(seed, datetime.fromtimestamp(0, UTC)) == "282760"


@pytest.mark.parametrize("seed", ["", "not base32 189", "===", "JBSWY3DP1"])
def test_what_is_no_seed_is_an_error(seed: str) -> None:
    with pytest.raises(ValueError, match="seed"):
        totp.code(seed, datetime.fromtimestamp(0, UTC))
