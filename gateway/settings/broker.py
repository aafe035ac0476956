"""Which broker an instance trades at, with whose credentials, and at which addresses."""

from __future__ import annotations

from brokers import registry
from brokers.contract import BrokerSpec
from brokers.errors import SettingsError
from brokers.model import Venue
from brokers.secret import Secret
from brokers.sim import settings as sim
from gateway.settings.envfile import PLACEHOLDER, EnvFile


def broker_of(env: EnvFile, name: str) -> BrokerSpec:
    """``BROKER=``, else the broker in OpenAlgo's REDIRECT_URL, else the instance's own name."""
    named = env.values.get("BROKER", "")
    if not named and (url := env.values.get("REDIRECT_URL", "")):
        parts = url.rstrip("/").split("/")
        named = parts[-2] if parts[-1] == "callback" and len(parts) >= 2 else ""
        named = "" if named in ("", "<broker>") else named
    try:
        return registry.spec(named or name)
    except SettingsError as exc:
        raise SettingsError(f"{env.where('BROKER')}: {exc}; set BROKER=") from exc


def credentials(
    env: EnvFile, spec: BrokerSpec, name: str, venue: Venue, sim_port: int
) -> tuple[dict[str, Secret], dict[str, str], list[str]]:
    """Credentials and addresses. With ``--sim`` neither is read from the env at all."""
    if venue is Venue.SIM:
        known = {k: Secret(v) for k, v in sim.credentials(spec.name, name).items()}
        return known, sim.endpoints(spec.sim_paths, sim_port), []
    found: dict[str, Secret] = {}
    for credential in spec.credentials:
        for key in (credential.env, *credential.aliases):
            value = env.values.get(key, "")
            if not value:
                continue
            if PLACEHOLDER.match(value):
                raise SettingsError(
                    f"{env.where(key)}: {key} is still the placeholder {value}. "
                    f"Get it at: {credential.where}. To try without an account: algo up {name} --sim"
                )
            found.setdefault(credential.env, Secret(value))
    missing = [c for c in spec.credentials if c.required and c.env not in found]
    _openalgo_packing(spec.name, found)
    missing = [c for c in missing if c.env not in found]
    if missing:
        first = missing[0]
        raise SettingsError(
            f"{env.shown}: {', '.join(c.env for c in missing)} not set. {first.env}: {first.where}. "
            f"To try without an account: algo up {name} --sim"
        )
    endpoints = dict(spec.endpoints)
    for key in endpoints:
        endpoints[key] = env.text(f"{spec.name.upper()}_{key.upper()}_URL", endpoints[key])
    warnings = [
        f"{env.where(k)}: {k} is retired: {why}" for k, why in spec.retired.items() if k in env.values
    ]
    return found, endpoints, warnings


def _openalgo_packing(broker: str, found: dict[str, Secret]) -> None:
    """OpenAlgo packs ids into its two generic fields: Dhan ``client:::key``, Kotak's UCC as API key."""
    key = found.get("BROKER_API_KEY")
    if broker == "dhan" and key and ":::" in key.reveal():
        found.setdefault("DHAN_CLIENT_ID", Secret(key.reveal().split(":::", 1)[0]))
    if broker == "kotak" and key:
        found.setdefault("KOTAK_UCC", key)
