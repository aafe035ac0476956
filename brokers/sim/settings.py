"""How to reach a simulated broker and log in to it: public constants, nothing secret.

Light on purpose: ``gateway.settings`` imports it to fill in credentials and addresses with ``--sim``.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from brokers.errors import SettingsError

PORTS = {"kotak": 5600, "dhan": 5601}
PIN = "112233"
TOTP_SECRET = base64.b32encode(b"algo simulated broker").decode().rstrip("=")
"""Base32 seed every simulated account shares (a public constant, worth nothing elsewhere)."""


def account_id(broker: str, instance: str) -> str:
    """The simulated account of an instance: 10 digits at Dhan, five letters at Kotak."""
    digest = hashlib.sha256(f"{broker}/{instance}".encode()).digest()
    if broker == "dhan":
        return "11" + str(int.from_bytes(digest[:6], "big") % 10**8).zfill(8)
    return "".join(chr(ord("A") + b % 26) for b in digest[:5])


def credentials(broker: str, instance: str) -> Mapping[str, str]:
    """Env names -> values with which an instance logs in to its simulated broker.

    Raises:
        SettingsError: There is no simulator of this broker.
    """
    if broker not in PORTS:
        raise SettingsError(f"there is no simulated {broker}; there is {', '.join(PORTS)}")
    account = account_id(broker, instance)
    if broker == "dhan":
        return {"DHAN_CLIENT_ID": account, "DHAN_PIN": PIN, "DHAN_TOTP_SECRET": TOTP_SECRET}
    return {
        "KOTAK_UCC": account,
        "KOTAK_MOBILE_NUMBER": "+919999999999",
        "KOTAK_MPIN": PIN,
        "KOTAK_TOTP_SECRET": TOTP_SECRET,
        "BROKER_API_SECRET": "simulated-access-token",
    }


def endpoints(paths: Mapping[str, str], port: int) -> dict[str, str]:
    """A broker's ``SPEC.sim_paths`` with the port filled in."""
    return {name: path.format(port=port) for name, path in paths.items()}
