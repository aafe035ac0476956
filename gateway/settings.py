"""An instance's env file, read once into a frozen value. Nothing else in the project reads the environment.

Light on purpose (no Flask, SQLAlchemy, sockets): the supervisor imports it too.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream

from brokers import registry
from brokers.contract import BrokerSpec
from brokers.errors import SettingsError
from brokers.logrotate import LogRules
from brokers.model import Venue
from brokers.secret import Secret
from brokers.sim import settings as sim
from gateway import (
    daysettings,
    hooksettings,
    latencysettings,
    limitsettings,
    logsettings,
    proxies,
    risksettings,
    sandboxsettings,
    storesettings,
)
from gateway.daysettings import DayRules
from gateway.feedsettings import THRESHOLDS
from gateway.hooksettings import HookRules
from gateway.latencysettings import LatencyRules
from gateway.limitsettings import ProcessLimits
from gateway.proxies import Network
from gateway.risksettings import RiskRules
from gateway.sandboxsettings import SandboxRules
from gateway.storesettings import StoreRules

NAME = re.compile(r"^[a-z][a-z0-9_]{0,30}$")
PLACEHOLDER = re.compile(r"(?i)^(your[_ -].*|<.*>|change[_ -]?me.*|replace[_ -].*|x{4,}|todo)$")
# SHA-256 of secrets that stand in public sample files; anybody can sign a cookie with them
PUBLIC_SAMPLES = frozenset(
    {
        "b369f30b3b4751c22758ed5c958c4f9bc238ea3487b809d52e744c5790bb009e",
        "3b7221846c46712b58119e9c9b5554e11ee66ae253627ddf9a6c34b1e43c6dd7",
    }
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FIRST_PORTS = {"FLASK_PORT": 5000, "WEBSOCKET_PORT": 8765, "ZMQ_PORT": 5555}
FIXED_STEP = {"kotak": 0, "dhan": 1}


@dataclass(frozen=True, slots=True)
class Databases:
    """Absolute paths of an instance's SQLite files and of the shared DuckDB store."""

    main: Path
    logs: Path
    latency: Path
    sandbox: Path
    historify: Path

    def sqlite(self) -> dict[str, Path]:
        return {
            "DATABASE_URL": self.main,
            "LOGS_DATABASE_URL": self.logs,
            "LATENCY_DATABASE_URL": self.latency,
            "SANDBOX_DATABASE_URL": self.sandbox,
        }


@dataclass(frozen=True, slots=True)
class RateLimits:
    """OpenAlgo's syntax: ``"10 per second"``, several joined by ``;``."""

    api: str
    order: str
    smart_order: str
    login_minute: str
    login_hour: str
    webhook: str
    strategy: str = "200 per minute"


@dataclass(frozen=True, slots=True)
class TradingRules:
    """Times of the order path, seconds.

    Attributes:
        order_deadline_s: An order that cannot leave by then is answered RATE_LIMITED.
        broker_timeout_s: Longest wait for a broker's answer to a write.
        reconcile_positions_s, reconcile_orders_s: Periods of reconciliation.
        fires_missed_gtts: A GTT the gateway keeps, whose price was there and is gone when it looks again, is
            sent all the same.
    """

    order_deadline_s: float
    broker_timeout_s: float
    reconcile_positions_s: float
    reconcile_orders_s: float
    fires_missed_gtts: bool = False


@dataclass(frozen=True, slots=True)
class StreamRules:
    """The feed process's limits."""

    auth_grace_s: float
    max_queue: int
    ping_interval_s: float
    ping_timeout_s: float
    max_symbols: int
    stale_after_s: float = 60.0
    heartbeat_log_s: int = 1
    thresholds: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(THRESHOLDS))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything one instance needs to know. ``source`` maps a name to ``file line N`` for messages."""

    name: str
    broker: str
    venue: Venue
    home: Path
    env_path: Path
    host: str
    port: int
    ws_host: str
    ws_port: int
    zmq_host: str
    zmq_port: int
    sim_port: int
    databases: Databases
    run_dir: Path
    log_dir: Path
    session_cookie: str
    csrf_cookie: str
    allowed_hosts: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    app_key: Secret
    pepper: Secret
    fernet_salt: str
    credentials: Mapping[str, Secret]
    endpoints: Mapping[str, str]
    options: Mapping[str, str]
    rate_limits: RateLimits
    trading: TradingRules
    risk: RiskRules
    stream: StreamRules
    sandbox: SandboxRules
    symbols: tuple[str, ...]
    log_level: str
    sim_hours: str
    sim_universe: str
    sim_seed: int
    order_mode: str
    hooks: HookRules
    public_url: str
    warnings: tuple[str, ...]
    source: Mapping[str, str]
    logs: LogRules = field(default_factory=LogRules)
    store: StoreRules = field(default_factory=StoreRules)
    limits: ProcessLimits = field(default_factory=ProcessLimits)
    day: DayRules = field(default_factory=DayRules)
    latency: LatencyRules = field(default_factory=LatencyRules)

    @property
    def spec(self) -> BrokerSpec:
        return registry.spec(self.broker)

    @property
    def roles(self) -> frozenset[str]:
        return self.day.roles

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def internal_key(self) -> Secret:
        """Shared by this instance's processes and the supervisor for loopback calls (``X-Algo-Internal``)."""
        return Secret(hashlib.sha256(b"internal:" + self.app_key.reveal().encode()).hexdigest())

    def where(self, name: str) -> str:
        """``instances/dhan.env line 7`` for a name in the file, the file alone for a default."""
        return self.source.get(name, _short(self.env_path, self.home))


class EnvFile:
    """Names and values with the line each stands on; checks speak with that line."""

    def __init__(self, path: Path, values: dict[str, str], lines: dict[str, int], shown: str) -> None:
        self.path = path
        self.shown = shown
        self.values = values
        self.lines = lines

    @classmethod
    def read(cls, path: Path, home: Path) -> EnvFile:
        """Raises ``SettingsError`` when the file is missing, readable by others, or not env syntax."""
        shown = _short(path, home)
        if not path.is_file():
            raise SettingsError(f"{shown} does not exist; make it with: algo init {path.stem}")
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & 0o077:
            raise SettingsError(
                f"{shown} is readable by others (mode {mode:o}) and holds credentials; run: chmod 600 {shown}"
            )
        values: dict[str, str] = {}
        lines: dict[str, int] = {}
        with path.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                line = binding.original.line + binding.original.string.count(
                    "\n", 0, len(binding.original.string) - len(binding.original.string.lstrip())
                )
                if binding.error:
                    raise SettingsError(f"{shown} line {line}: cannot be read as NAME=VALUE")
                if binding.key is None or binding.value is None:
                    continue
                if binding.key in values and values[binding.key] != binding.value:
                    raise SettingsError(
                        f"{shown} line {line}: {binding.key} is set again "
                        f"(first on line {lines[binding.key]})"
                    )
                values[binding.key] = binding.value.strip()
                lines[binding.key] = line
        return cls(path, values, lines, shown)

    def where(self, name: str) -> str:
        line = self.lines.get(name)
        return f"{self.shown} line {line}" if line else self.shown

    def text(self, name: str, default: str) -> str:
        return self.values.get(name) or default

    def port(self, name: str, default: int) -> int:
        text = self.values.get(name) or str(default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
            raise SettingsError(f"{self.where(name)}: {name} is {text}, expected 1-65535")
        return int(text)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.values.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise SettingsError(f"{self.where(name)}: {name} is {text}, expected {low:g} to {high:g}")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise SettingsError(
                f"{self.where(name)}: {name} is {value}, expected one of {', '.join(allowed)}"
            )
        return value

    def signing_secret(self, name: str) -> Secret:
        value = self.values.get(name, "")
        if not value or PLACEHOLDER.match(value):
            raise SettingsError(
                f"{self.where(name)}: {name} is missing or a placeholder; `algo init` writes a fresh one"
            )
        if hashlib.sha256(value.encode()).hexdigest() in PUBLIC_SAMPLES:
            raise SettingsError(
                f"{self.where(name)}: {name} is a publicly known sample key; put a fresh one: "
                'python -c "import secrets; print(secrets.token_hex(32))"'
            )
        if len(value) < 32:
            raise SettingsError(
                f"{self.where(name)}: {name} has {len(value)} characters, expected 32 or more"
            )
        return Secret(value)


def instance_names(home: Path) -> list[str]:
    """Instances that have an env file, kotak and dhan first, then by name."""
    found = [p.stem for p in (home / "instances").glob("*.env") if NAME.match(p.stem)]
    return sorted(found, key=lambda n: (FIXED_STEP.get(n, 99), n))


def databases(home: Path, name: str, venue: Venue) -> Databases:
    """Where an instance's files lie, without reading its credentials. Raises ``SettingsError``."""
    return _databases(EnvFile.read(home / "instances" / f"{name}.env", home), name, home, venue)


def load(home: Path, name: str, venue: Venue) -> Settings:
    """Read and check one instance.

    Raises:
        SettingsError: What is wrong, in which file and line, and what to do.
    """
    if not NAME.match(name):
        raise SettingsError(f"'{name}' is not an instance name (lower case letters, digits and _)")
    env = EnvFile.read(home / "instances" / f"{name}.env", home)
    spec = _broker_of(env, name)
    root = home / "db" / "sim" if venue is Venue.SIM else home / "db"
    step = FIXED_STEP.get(name, 0)
    ports = {key: env.port(key, first + step) for key, first in FIRST_PORTS.items()}
    host = env.text("FLASK_HOST_IP", "127.0.0.1")
    # one simulated broker serves every instance of that broker, each with its own account
    sim_port = env.port("SIM_PORT", sim.PORTS[spec.name])
    credentials, endpoints, warnings = _credentials(env, spec, name, venue, sim_port)
    return Settings(
        name=name,
        broker=spec.name,
        venue=venue,
        home=home,
        env_path=env.path,
        host=host,
        port=ports["FLASK_PORT"],
        ws_host=env.text("WEBSOCKET_HOST", "127.0.0.1"),
        ws_port=ports["WEBSOCKET_PORT"],
        zmq_host=env.text("ZMQ_HOST", "127.0.0.1"),
        zmq_port=ports["ZMQ_PORT"],
        sim_port=sim_port,
        databases=_databases(env, name, home, venue),
        run_dir=root / "run",
        log_dir=root / "log",
        session_cookie=env.text("SESSION_COOKIE_NAME", f"session_{name}"),
        csrf_cookie=env.text("CSRF_COOKIE_NAME", f"csrf_token_{name}"),
        allowed_hosts=_allowed_hosts(env, host),
        trusted_proxies=proxies.networks(env.text("TRUSTED_PROXIES", ""), env.where("TRUSTED_PROXIES")),
        app_key=env.signing_secret("APP_KEY"),
        pepper=env.signing_secret("API_KEY_PEPPER"),
        fernet_salt=env.text("FERNET_SALT", f"algo-{name}"),
        credentials=credentials,
        endpoints=endpoints,
        options={key: env.text(key, default) for key, default in spec.options.items()},
        rate_limits=_rate_limits(env),
        trading=_trading(env),
        risk=risksettings.read(env),
        stream=_stream(env, spec),
        sandbox=sandboxsettings.read(env),
        symbols=_symbols(env, home),
        log_level=env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        sim_hours=env.choice("SIM_HOURS", "always", ("always", "nse")),
        sim_universe=env.choice("SIM_UNIVERSE", "small", ("small", "full")),
        sim_seed=int(env.number("SIM_SEED", 1, 0, 2**31)),
        order_mode=env.choice("ORDER_MODE", "auto", ("auto", "semi_auto")),
        hooks=hooksettings.read(env),
        public_url=env.text("HOST_SERVER", f"http://{host}:{ports['FLASK_PORT']}").rstrip("/"),
        warnings=tuple(warnings),
        source={key: env.where(key) for key in env.values},
        logs=logsettings.read(env),
        store=storesettings.read(env, home, sim=venue is Venue.SIM),
        limits=limitsettings.read(env),
        day=daysettings.read(env, sim=venue is Venue.SIM),
        latency=latencysettings.read(env),
    )


def _rate_limits(env: EnvFile) -> RateLimits:
    return RateLimits(
        api=env.text("API_RATE_LIMIT", "50 per second"),
        order=env.text("ORDER_RATE_LIMIT", "10 per second"),
        smart_order=env.text("SMART_ORDER_RATE_LIMIT", "10 per second"),
        login_minute=env.text("LOGIN_RATE_LIMIT_MIN", "5 per minute"),
        login_hour=env.text("LOGIN_RATE_LIMIT_HOUR", "25 per hour"),
        webhook=env.text("WEBHOOK_RATE_LIMIT", "100 per minute"),
        strategy=env.text("STRATEGY_RATE_LIMIT", "200 per minute"),
    )


def _trading(env: EnvFile) -> TradingRules:
    return TradingRules(
        order_deadline_s=env.number("ORDER_DEADLINE_SECONDS", 2.0, 0.05, 60.0),
        broker_timeout_s=env.number("BROKER_TIMEOUT_SECONDS", 10.0, 0.5, 120.0),
        reconcile_positions_s=env.number("RECONCILE_POSITIONS_SECONDS", 60.0, 1.0, 3600.0),
        reconcile_orders_s=env.number("RECONCILE_ORDERS_SECONDS", 10.0, 0.5, 3600.0),
        fires_missed_gtts=env.choice("GTT_MISSED", "tell", ("tell", "fire")) == "fire",
    )


def _stream(env: EnvFile, spec: BrokerSpec) -> StreamRules:
    return StreamRules(
        auth_grace_s=env.number("WS_AUTH_GRACE_SECONDS", 15.0, 1.0, 600.0),
        max_queue=int(env.number("WS_MAX_QUEUE", 1024, 16, 1_000_000)),
        ping_interval_s=env.number("WS_PING_INTERVAL", 20.0, 1.0, 600.0),
        ping_timeout_s=env.number("WS_PING_TIMEOUT", 20.0, 1.0, 600.0),
        max_symbols=int(env.number("MAX_SYMBOLS", spec.capabilities.feed_instruments, 1, 1_000_000)),
        stale_after_s=env.number("STALE_AFTER_SECONDS", 60.0, 1.0, 86_400.0),
        heartbeat_log_s=int(env.number("HEARTBEAT_LOG_SECONDS", 1, 0, 3600)),
        thresholds={name: _threshold(env, name) for name in THRESHOLDS},
    )


def _threshold(env: EnvFile, name: str) -> tuple[float, float]:
    """``FEED_COVERAGE_WARNING`` and ``FEED_COVERAGE_CRITICAL``, and so on."""
    warning, critical = THRESHOLDS[name]
    stem = f"FEED_{name.upper()}"
    return (
        env.number(f"{stem}_WARNING", warning, 0.0, 1e9),
        env.number(f"{stem}_CRITICAL", critical, 0.0, 1e9),
    )


def _broker_of(env: EnvFile, name: str) -> BrokerSpec:
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


def databases_of(home: Path, name: str, venue: Venue) -> Databases:
    """Of an instance that may still lack credentials. Raises ``SettingsError``."""
    env = EnvFile.read(home / "instances" / f"{name}.env", home)
    return _databases(env, name, home, venue)


def _databases(env: EnvFile, name: str, home: Path, venue: Venue) -> Databases:
    def path(key: str, default: str) -> Path:
        # whatever the env names, a simulated run stays under db/sim/
        text = default if venue is Venue.SIM else env.text(key, default)
        text = text.removeprefix("sqlite:///")
        if venue is Venue.SIM:
            return home / "db" / "sim" / text.removeprefix("db/")
        return (home / text).resolve()

    return Databases(
        main=path("DATABASE_URL", f"db/openalgo_{name}.db"),
        logs=path("LOGS_DATABASE_URL", f"db/logs_{name}.db"),
        latency=path("LATENCY_DATABASE_URL", f"db/latency_{name}.db"),
        sandbox=path("SANDBOX_DATABASE_URL", f"db/sandbox_{name}.db"),
        historify=storesettings.face(env, home, sim=venue is Venue.SIM),
    )


def _allowed_hosts(env: EnvFile, host: str) -> tuple[str, ...]:
    """Names a request's ``Host`` may carry: loopback, the bind address, HOST_SERVER's, ALLOWED_HOSTS."""
    names = {*LOOPBACK, host}
    if server := env.values.get("HOST_SERVER", ""):
        names.add(re.sub(r"^\w+://", "", server).split("/")[0].split(":")[0])
    names.update(h.strip() for h in env.text("ALLOWED_HOSTS", "").split(",") if h.strip())
    return tuple(sorted(names - {"0.0.0.0", "::"}))


def _symbols(env: EnvFile, home: Path) -> tuple[str, ...]:
    """``SYMBOLS`` and ``WATCHLIST`` (``NSE:SBIN,NFO:…``; bare means NSE), ``SYMBOLS_FILE`` (one a line)."""
    found: list[str] = []
    for key in ("SYMBOLS", "WATCHLIST"):
        found += [s.strip() for s in env.text(key, "").split(",") if s.strip()]
    if file := env.values.get("SYMBOLS_FILE", ""):
        path = home / file
        if not path.is_file():
            raise SettingsError(f"{env.where('SYMBOLS_FILE')}: SYMBOLS_FILE {file} does not exist")
        found += [s.strip() for s in path.read_text().splitlines() if s.strip() and not s.startswith("#")]
    return tuple(dict.fromkeys(found))


def _credentials(
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


def _short(path: Path, home: Path) -> str:
    try:
        return str(path.relative_to(home))
    except ValueError:
        return str(path)
