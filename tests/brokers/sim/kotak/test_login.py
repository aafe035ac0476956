"""Login, look-ups and config through a real server."""

from __future__ import annotations

import base64

import pytest

from brokers.sim.kotak.login import MPIN_PATHS, TOTP_PATHS
from brokers.sim.kotak.sessions import ACCESS_TOKEN, MOBILE
from brokers.sim.settings import PIN
from tests.brokers.sim.kotak.harness import PLAIN, Sim, in_sim


@pytest.mark.parametrize(("totp_path", "mpin_path"), list(zip(TOTP_PATHS, MPIN_PATHS, strict=True)))
@in_sim
async def test_both_factors_in_every_family(sim: Sim, totp_path: str, mpin_path: str):
    view = await sim.view(prefix=totp_path)
    assert (view["kType"], view["ucc"]) == ("View", "ABCDE")
    assert "baseUrl" not in view
    headers = {"Authorization": f"Bearer {ACCESS_TOKEN}", "neo-fin-key": "any vendor's string"}
    headers |= {"sid": view["sid"], "Auth": view["token"]}
    status, answer = await sim.post_json(mpin_path, {"mpin": PIN}, headers)
    trade = answer["data"]
    assert (status, trade["kType"], trade["baseUrl"]) == (200, "Trade", sim.base)
    assert trade["token"] != view["token"]
    assert trade["sid"] != view["sid"]


@in_sim
async def test_wrong_credentials_are_refused_in_the_documented_shapes(sim: Sim):
    path = "login/1.0/tradeApiLogin"
    wrong = {"status": "error", "message": "Invalid credentials or TOTP.", "errorCode": "401"}
    good = {"mobileNumber": MOBILE, "ucc": "ABCDE", "totp": "000000"}
    assert await sim.post_json(path, good, PLAIN) == (401, wrong)
    status, answer = await sim.post_json(path, good | {"totp": None}, PLAIN)
    assert (status, answer["error"][0]["message"]) == (400, "Missing required field 'Totp'")
    status, answer = await sim.post_json(path, good, {"neo-fin-key": "neotradeapi"})
    assert (status, answer["error"][0]["code"]) == (400, "10512")
    status, answer = await sim.post_json(path, good, PLAIN | {"Authorization": "wrong"})
    assert (status, answer["code"]) == (401, "900901")
    view = await sim.view()
    pair = {"sid": view["sid"], "Auth": view["token"]}
    assert await sim.post_json("login/1.0/tradeApiValidate", {"mpin": "000000"}, PLAIN | pair) == (401, wrong)
    status, answer = await sim.post_json("login/1.0/tradeApiValidate", {}, PLAIN | pair)
    assert answer["error"][0]["message"] == "Missing required field 'Mpin'"
    status, answer = await sim.post_json("login/1.0/tradeApiValidate", {"mpin": PIN}, PLAIN)
    assert answer["error"][0]["code"] == "10512"


@in_sim
async def test_v2_look_ups(sim: Sim):
    assert await sim.get("algo-user/v5/get-base-url?id=ABCDE") == (200, {"data": {"baseURL": sim.base}})
    basic = base64.b64encode(f"{ACCESS_TOKEN}:secret".encode()).decode()
    body = {"grant_type": "client_credentials"}
    status, answer = await sim.post_json("oauth2/token", body, {"Authorization": f"Basic {basic}"})
    assert (status, answer["access_token"], answer["token_type"]) == (200, ACCESS_TOKEN, "Bearer")
    for spoilt in ("Basic !!", "Basic " + base64.b64encode(b"other:x").decode(), ""):
        assert (await sim.post_json("oauth2/token", body, {"Authorization": spoilt}))[0] == 401


@in_sim
async def test_the_config_service_names_the_feed_in_use(sim: Sim):
    path = "5config/config?appVersion=3.0.9&platform=api&environment=prod"
    configs = (await sim.get(path))[1]["data"]["configs"]
    assert configs["E43_broadcast_source"] == "ks"
    assert configs["E43_ks_broadcast_endpoint"] == f"{sim.base}/apifeed"
    assert configs["E43_ks_interactive_endpoint"] == f"{sim.base}/realtime"
    await sim.post_json("_sim/kotak", {"broadcast_source": "hs"}, {})
    configs = (await sim.get(path))[1]["data"]["configs"]
    assert configs["E43_broadcast_source"] == "hs"
    assert configs["E43_hs_broadcast_endpoint"] == f"{sim.base}/hsm"


@in_sim
async def test_client_ip_and_logout(sim: Sim):
    status, answer = await sim.get("login/1.0/get-client-ip", PLAIN)
    assert (status, answer["stCode"], answer["data"][0]["ip"]) == (200, 1000, "127.0.0.1")
    await sim.login()
    assert (await sim.get("quick/user/orders"))[1]["stCode"] == 5203
    assert (await sim.post("apim/login/2.0/logout", {}))[0] == 200
    assert (await sim.get("quick/user/orders"))[1]["stCode"] == 100022
