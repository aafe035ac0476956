"""The shape of a broker's folder: what can be judged without its simulator.

Runs against every broker there is; ``scripts/new_broker.py`` writes folders that pass it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from brokers import contract, registry
from brokers.calendar import AlwaysOpen
from brokers.clock import SystemClock
from brokers.contract import BrokerContext
from brokers.errors import LoginRequired, NotSupported
from brokers.model import Exchange
from brokers.secret import Secret
from brokers.spec import BrokerSpec

ROOMS = ("auth", "broker", "feed", "instruments", "rest", "wire")
MAPPINGS = ("books", "errors", "history", "market", "orders", "words")
PURE = ("wire", "mapping")
TOUCHING = frozenset(
    {
        "socket",
        "time",
        "os",
        "pathlib",
        "logging",
        "asyncio",
        "urllib3",
        "aiohttp",
        "websockets",
        "sqlalchemy",
    }
)
MOST_LINES = 1200
LARGER = frozenset({"dhan", "kotak"})
"""A pool of sockets, deep books and GTTs; two market feeds and two families of paths."""
INTERVALS = frozenset(
    {"1m", "2m", "3m", "5m", "10m", "15m", "20m", "25m", "30m", "1h", "2h", "4h", "D", "W", "M"}
)


@pytest.fixture(params=registry.names())
def spec(request: pytest.FixtureRequest) -> BrokerSpec:
    return registry.spec(str(request.param))


def folder(spec: BrokerSpec) -> Path:
    file = importlib.import_module(f"brokers.{spec.name}").__file__
    assert file is not None
    return Path(file).parent


def imports(spec: BrokerSpec, *parts: str) -> Iterator[tuple[str, str]]:
    """(file, module) of every import below a part of the folder; everywhere without a part."""
    root = folder(spec)
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).parts[0].removesuffix(".py")
        if parts and inside not in parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                yield path.name, base
                if base == "brokers":
                    yield from ((path.name, f"brokers.{alias.name}") for alias in node.names)


def context(spec: BrokerSpec) -> BrokerContext:
    class Nothing:
        def by_key(self, key: object) -> None: ...

        def by_token(self, broker_exchange: str, token: str) -> None: ...

        def by_broker_symbol(self, broker_exchange: str, broker_symbol: str) -> None: ...

    return BrokerContext(
        credentials={field.env: Secret("x") for field in spec.credentials},
        endpoints=spec.endpoints,
        options=spec.options,
        clock=SystemClock(),
        instruments=Nothing(),
        calendar=AlwaysOpen(),
    )


def no_session(*_: object) -> Any:
    raise LoginRequired("none")


def made(spec: BrokerSpec) -> dict[str, object]:
    """Each half of the contract -> what the broker makes of it."""
    broker, known = registry.open_broker(spec.name), context(spec)
    halves: dict[str, object] = {
        "Broker": broker,
        "Auth": broker.auth(known),
        "Rest": broker.rest(known, no_session),
        "RawHistory": broker.rest(known, no_session),
        "InstrumentSource": broker.instruments(known, no_session),
        "Feed": broker.feed(known, no_session, contract.FeedSink),  # type: ignore[arg-type]
        "RousableFeed": broker.feed(known, no_session, contract.FeedSink),  # type: ignore[arg-type]
    }
    if spec.capabilities.native_gtt:
        halves["GttRest"] = broker.gtt(known, no_session)
    if spec.capabilities.book_levels:
        halves["DeepFeed"] = halves["Feed"]
    return halves


def test_the_spec_says_what_a_caller_needs(spec: BrokerSpec) -> None:
    assert folder(spec).name == spec.name
    assert spec.title
    assert spec.login
    assert spec.session
    assert spec.sim_paths.keys() == spec.endpoints.keys()
    assert {"rest", "login"} & spec.endpoints.keys()
    assert {urlsplit(url).scheme for url in spec.endpoints.values()} <= {"https", "wss"}
    for name, path in spec.sim_paths.items():
        found = urlsplit(path.format(port=5600))
        assert (found.hostname, found.port) == ("127.0.0.1", 5600), name
        assert found.scheme == {"https": "http", "wss": "ws"}[urlsplit(spec.endpoints[name]).scheme]
    envs = [name for field in spec.credentials for name in (field.env, *field.aliases)]
    assert len(envs) == len(set(envs))
    assert all(name == name.upper() and name.isidentifier() for name in (*envs, *spec.options, *spec.retired))
    assert all(field.where for field in spec.credentials)


def test_the_capabilities_are_of_this_world(spec: BrokerSpec) -> None:
    can = spec.capabilities
    assert set(Exchange.__members__) >= can.exchanges >= can.history_exchanges
    assert can.exchanges
    assert INTERVALS >= can.intervals.keys() >= can.history_days.keys() >= can.history_years.keys()
    assert {"1m", "D"} >= can.history_days.keys()
    assert bool(can.history_exchanges) == bool(can.history_days)
    assert min(can.feed_instruments, can.quote_batch, can.tag_length, can.margin_batch) >= 1
    assert all(levels in (20, 200) and can.exchanges >= where for levels, where in can.book_levels.items())
    for windows in (spec.order_windows, spec.data_windows, spec.quote_windows):
        assert windows
        assert all(window.count > 0 and window.seconds > 0 for window in windows)


def test_the_rooms_are_there_under_their_names(spec: BrokerSpec) -> None:
    for room in (*ROOMS, *(f"mapping.{name}" for name in MAPPINGS)):
        importlib.import_module(f"brokers.{spec.name}.{room}")


def test_a_broker_is_a_small_folder(spec: BrokerSpec) -> None:
    lines = sum(len(path.read_text().splitlines()) for path in folder(spec).rglob("*.py"))
    assert lines <= (4000 if spec.name in LARGER else MOST_LINES)


def test_every_call_of_the_contract_is_there_as_the_contract_has_it(spec: BrokerSpec) -> None:
    for half, thing in made(spec).items():
        protocol = getattr(contract, half)
        for name, wanted in inspect.getmembers(protocol, inspect.isfunction):
            if name.startswith("_"):
                continue
            found = getattr(type(thing), name)
            assert shape(found) == shape(wanted), f"{half}.{name}"
            assert inspect.iscoroutinefunction(found) == inspect.iscoroutinefunction(wanted), f"{half}.{name}"


def shape(function: Any) -> list[tuple[str, object]]:
    """Names and kinds of the parameters; what has a default of its own may be added behind."""
    known = inspect.signature(function).parameters.values()
    return [(one.name, one.kind) for one in known]


def test_what_the_broker_cannot_do_is_said_by_class(spec: BrokerSpec) -> None:
    broker, can = registry.open_broker(spec.name), spec.capabilities
    if not can.native_gtt:
        with pytest.raises(NotSupported, match=spec.title.split()[0]):
            broker.gtt(context(spec), no_session)
    with pytest.raises(NotSupported, match="candles"):
        spec.interval_word(min(can.history_exchanges), "7m")
    with pytest.raises(NotSupported, match="history of NOWHERE"):
        spec.interval_word("NOWHERE", min(can.intervals))


def test_the_store_can_decode_history_without_the_rest(spec: BrokerSpec) -> None:
    history = importlib.import_module(f"brokers.{spec.name}.mapping.history")
    assert [name for name, _ in shape(history.candles)] == ["body", "interval", "start", "end"]
    assert [name for name, _ in shape(history.says_empty)] == ["status", "body"]


def test_codecs_and_mappings_touch_nothing(spec: BrokerSpec) -> None:
    touched = {(file, name) for file, name in imports(spec, *PURE) if name.split(".")[0] in TOUCHING}
    assert not touched
    assert not {(file, name) for file, name in imports(spec, "__init__") if name != "brokers.spec"}


def test_a_broker_sees_the_floor_and_itself_alone(spec: BrokerSpec) -> None:
    others = {f"brokers.{name}" for name in (*registry.names(), "sim")} - {f"brokers.{spec.name}"}
    houses = {"gateway", "supervisor", "historify", "tests", "scripts"}
    seen = {
        (file, name)
        for file, name in imports(spec)
        if name.split(".")[0] in houses or ".".join(name.split(".")[:2]) in others
    }
    assert not seen
