"""One instance's settings as a frozen value, and reading them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from brokers import registry
from brokers.contract import BrokerSpec
from brokers.errors import SettingsError
from brokers.logrotate import LogRules
from brokers.model import Venue
from brokers.secret import Secret
from brokers.sim import settings as sim
from gateway.http import proxies
from gateway.http.proxies import Network
from gateway.settings import (
    day,
    feed,
    hooks,
    latency,
    limits,
    logs,
    ratelimits,
    risk,
    route,
    sandbox,
    store,
    trading,
)
from gateway.settings.broker import broker_of, credentials
from gateway.settings.day import DayRules
from gateway.settings.envfile import EnvFile, short
from gateway.settings.feed import StreamRules
from gateway.settings.hooks import HookRules
from gateway.settings.latency import LatencyRules
from gateway.settings.limits import ProcessLimits
from gateway.settings.paths import FIRST_PORTS, FIXED_STEP, NAME, Databases, databases_in
from gateway.settings.ratelimits import RateLimits
from gateway.settings.risk import RiskRules
from gateway.settings.route import RouteRules
from gateway.settings.sandbox import SandboxRules
from gateway.settings.store import StoreRules
from gateway.settings.trading import TradingRules

LOOPBACK = ("127.0.0.1", "localhost", "::1")


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
    route: RouteRules = field(default_factory=RouteRules)

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
        return self.source.get(name, short(self.env_path, self.home))


def load(home: Path, name: str, venue: Venue) -> Settings:
    """Read and check one instance.

    Raises:
        SettingsError: What is wrong, in which file and line, and what to do.
    """
    if not NAME.match(name):
        raise SettingsError(f"'{name}' is not an instance name (lower case letters, digits and _)")
    env = EnvFile.read(home / "instances" / f"{name}.env", home)
    spec = broker_of(env, name)
    root = home / "db" / "sim" if venue is Venue.SIM else home / "db"
    step = FIXED_STEP.get(name, 0)
    ports = {key: env.port(key, first + step) for key, first in FIRST_PORTS.items()}
    host = env.text("FLASK_HOST_IP", "127.0.0.1")
    # one simulated broker serves every instance of that broker, each with its own account
    sim_port = env.port("SIM_PORT", sim.PORTS[spec.name])
    secrets, endpoints, warnings = credentials(env, spec, name, venue, sim_port)
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
        databases=databases_in(env, name, home, venue),
        run_dir=root / "run",
        log_dir=root / "log",
        session_cookie=env.text("SESSION_COOKIE_NAME", f"session_{name}"),
        csrf_cookie=env.text("CSRF_COOKIE_NAME", f"csrf_token_{name}"),
        allowed_hosts=_allowed_hosts(env, host),
        trusted_proxies=proxies.networks(env.text("TRUSTED_PROXIES", ""), env.where("TRUSTED_PROXIES")),
        app_key=env.signing_secret("APP_KEY"),
        pepper=env.signing_secret("API_KEY_PEPPER"),
        fernet_salt=env.text("FERNET_SALT", f"algo-{name}"),
        credentials=secrets,
        endpoints=endpoints,
        options={key: env.text(key, default) for key, default in spec.options.items()},
        rate_limits=ratelimits.read(env),
        trading=trading.read(env),
        risk=risk.read(env),
        stream=feed.read(env, spec),
        sandbox=sandbox.read(env),
        symbols=_symbols(env, home),
        log_level=env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        sim_hours=env.choice("SIM_HOURS", "always", ("always", "nse")),
        sim_universe=env.choice("SIM_UNIVERSE", "small", ("small", "full")),
        sim_seed=int(env.number("SIM_SEED", 1, 0, 2**31)),
        order_mode=env.choice("ORDER_MODE", "auto", ("auto", "semi_auto")),
        hooks=hooks.read(env),
        public_url=env.text("HOST_SERVER", f"http://{host}:{ports['FLASK_PORT']}").rstrip("/"),
        warnings=tuple(warnings),
        source={key: env.where(key) for key in env.values},
        logs=logs.read(env),
        store=store.read(env, home, sim=venue is Venue.SIM),
        limits=limits.read(env),
        day=day.read(env, sim=venue is Venue.SIM),
        latency=latency.read(env),
        route=route.read(env),
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
