"""Options against both simulated brokers, as real processes, driven by the unmodified SDK."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brokers.model import Venue
from gateway import settings as gateway_settings
from tests.clients import client_python
from tests.gateway.api.rig import write_env
from tests.gateway.test_runtime import api, command, get, process, until

pytestmark = [pytest.mark.e2e, pytest.mark.client, pytest.mark.timeout(180)]
SCRIPT = Path(__file__).with_name("sdk_options.py")


EACH = [pytest.param(n, marks=pytest.mark.xdist_group(f"options-{n}")) for n in ("dhan", "kotak")]


@pytest.fixture(scope="module", params=EACH)
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What the SDK saw in one run against one broker."""
    name, home = str(request.param), tmp_path_factory.mktemp("home")
    write_env(home, name)
    settings = gateway_settings.load(home, name, Venue.SIM)
    broker = command("brokers.sim", "--broker", name, "--port", str(settings.sim_port), "--home", str(home))
    log = home / "api.log"
    with process(broker, home / "sim.log"), process(api(home, name), log):
        until(lambda: get(f"{settings.url}/health/ready")[0] == 200, log)
        internal = {"X-Algo-Internal": settings.internal_key.reveal()}
        _, made = get(f"{settings.url}/internal/keys", internal, b'{"label": "t"}')
        run = [str(client_python("openalgo")), str(SCRIPT), settings.url, made["key"]]
        done = subprocess.run(run, capture_output=True, text=True, timeout=120)
        rows = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        assert rows, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{log.read_text()[-3000:]}"
        yield json.loads(rows[0].removeprefix("RESULT "))


def test_a_chain_is_whole_consistent_and_priced(seen):
    chain = seen["chain"]
    assert chain["status"] == "success", chain
    strikes = [row["strike"] for row in chain["chain"]]
    assert len(strikes) == 11
    assert strikes == sorted(strikes)
    assert strikes[5] == chain["atm_strike"]
    assert abs(chain["atm_strike"] - chain["underlying_ltp"]) <= 25
    labels = [row["ce"]["label"] for row in chain["chain"]]
    assert labels == ["ITM5", "ITM4", "ITM3", "ITM2", "ITM1", "ATM", "OTM1", "OTM2", "OTM3", "OTM4", "OTM5"]
    for row in chain["chain"]:
        assert row["ce"]["ltp"] > 0
        assert row["pe"]["oi"] >= 0
        assert 0 <= row["ce"]["delta"] <= 1
        assert -1 <= row["pe"]["delta"] <= 0
    assert chain["forward_price"] == pytest.approx(chain["underlying_ltp"], rel=0.02)
    assert len(seen["whole"]["chain"]) == 41


def test_symbol_greeks_and_synthetic_future_agree(seen):
    symbol, chain, greeks = seen["symbol"], seen["chain"], seen["greeks"]
    row = next(r for r in chain["chain"] if r["ce"]["label"] == "OTM1")
    same_atm = abs(chain["underlying_ltp"] - symbol["underlying_ltp"]) < 5
    assert symbol["symbol"] == row["ce"]["symbol"] or not same_atm
    assert (symbol["exchange"], symbol["lotsize"], symbol["freeze_qty"] > 1) == ("NFO", 65, True)
    assert greeks["status"] == "success", greeks
    assert greeks["implied_volatility"] == pytest.approx(row["ce"]["implied_volatility"], abs=1)
    assert greeks["greeks"]["delta"] == pytest.approx(row["ce"]["delta"], abs=0.05)
    assert seen["future"]["synthetic_future_price"] == pytest.approx(chain["forward_price"], rel=0.001)


def test_option_orders_reach_the_broker(seen):
    assert seen["order"]["status"] == "success", seen["order"]
    assert [r["quantity"] for r in seen["split"]["results"]] == [130, 65], seen["split"]
    legs = seen["legs"]["results"]
    assert [(leg["leg"], leg["action"], leg["status"]) for leg in legs] == [
        (1, "SELL", "success"),
        (2, "BUY", "success"),
    ], seen["legs"]
    sent = [seen["order"]["orderid"], *(r["orderid"] for r in seen["split"]["results"])]
    sent += [leg["orderid"] for leg in legs]
    book = {order["orderid"]: order for order in seen["book"]["data"]["orders"]}
    assert set(sent) <= set(book)
    assert book[seen["order"]["orderid"]]["product"] == "NRML"
    assert book[legs[0]["orderid"]]["symbol"] == legs[0]["symbol"]


def test_calendar_through_the_sdk(seen):
    assert len(seen["holidays"]["data"]) == 16
    assert seen["timings"]["data"][0] == {
        "exchange": "NSE",
        "start_time": 1795146300000,
        "end_time": 1795168800000,
    }
