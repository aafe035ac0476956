"""Login, tokens on every path, profile and addresses through a real server."""

from __future__ import annotations

from typing import Any

from brokers.sim import settings
from tests.brokers.sim.dhan.live import ACCOUNT, Broker, live

LOGIN = "/app/generateAccessToken"


async def login(broker: Broker, **changes: str) -> tuple[int, Any]:
    query = {"dhanClientId": ACCOUNT, "pin": settings.PIN, "totp": broker.totp()} | changes
    async with broker.http.post(broker.url + LOGIN, params=query) as response:
        return response.status, await response.json()


async def ltp(broker: Broker, **headers: str) -> tuple[int, Any]:
    return await broker.call("POST", "/v2/marketfeed/ltp", {"IDX_I": [13]}, headers=headers)


@live
async def test_pin_and_totp_give_a_token_for_24_hours(broker: Broker) -> None:
    status, session = await login(broker)
    assert status == 200
    assert set(session) == {
        "dhanClientId",
        "dhanClientName",
        "dhanClientUcc",
        "givenPowerOfAttorney",
        "accessToken",
        "expiryTime",
    }
    assert session["expiryTime"] == "2026-09-17T12:00:00.000"
    broker.token = session["accessToken"]
    status, profile = await broker.call("GET", "/v2/profile")
    assert (status, profile["dhanClientId"]) == (200, ACCOUNT)
    assert profile["tokenValidity"] == "17/09/2026 12:00"
    assert profile["activeSegment"] == "E, D, C, M, "


@live
async def test_wrong_credentials_give_no_token(broker: Broker) -> None:
    wrong = "000000" if broker.totp() != "000000" else "000001"
    for changes in ({"totp": wrong}, {"totp": ""}, {"pin": "999999"}, {"dhanClientId": "ABCDE"}):
        status, body = await login(broker, **changes)
        assert status == 400
        assert body["status"] == "error"
        assert "accessToken" not in body
    async with broker.http.get(broker.url + LOGIN) as response:
        assert response.status == 404


@live
async def test_a_second_token_soon_after_can_be_refused(broker: Broker) -> None:
    broker.venue.accounts.mint_gap_s = 120.0
    assert (await login(broker))[0] == 200
    status, body = await login(broker)
    assert (status, body["message"]) == (400, "Token can be generated once every 2 minutes.")
    broker.clock.advance(120)
    assert (await login(broker))[0] == 200


@live
async def test_the_old_token_is_dead_on_every_path(broker: Broker) -> None:
    old = broker.headers
    _, session = await login(broker)
    status, body = await broker.call("GET", "/v2/fundlimit", headers=old)
    assert (status, body["errorCode"], body["errorType"]) == (401, "DH-901", "Invalid_Authentication")
    status, body = await ltp(broker, **old)
    assert (status, list(body["data"]), body["status"]) == (401, ["809"], "failed")
    broker.token = session["accessToken"]
    assert (await broker.call("GET", "/v2/fundlimit"))[0] == 200


@live
async def test_an_expired_token_is_dh_901_and_807(broker: Broker) -> None:
    broker.venue.expire(ACCOUNT)
    status, body = await broker.call("GET", "/v2/fundlimit")
    assert (status, body["errorCode"]) == (401, "DH-901")
    status, body = await ltp(broker, **broker.headers)
    assert (status, list(body["data"])) == (401, ["807"])


@live
async def test_missing_and_garbage_tokens(broker: Broker) -> None:
    status, body = await broker.call("GET", "/v2/fundlimit", headers={})
    assert (status, body["errorCode"]) == (401, "DH-901")
    status, body = await broker.call("GET", "/v2/fundlimit", headers={"access-token": "eyJgarbage"})
    assert (status, body["errorCode"], body["errorMessage"]) == (400, "DH-906", "Invalid Token")
    status, body = await ltp(broker, **{"access-token": "eyJgarbage"})
    assert (status, list(body["data"])) == (401, ["809"])


@live
async def test_market_data_wants_the_client_id_header_and_the_rest_does_not(broker: Broker) -> None:
    token = {"access-token": broker.token}
    status, body = await ltp(broker, **token)
    assert (status, list(body["data"])) == (401, ["810"])
    status, _ = await ltp(broker, **token, **{"client-id": ACCOUNT})
    assert status == 200
    assert (await broker.call("GET", "/v2/fundlimit", headers=token))[0] == 200


@live
async def test_only_a_website_token_is_renewed_and_only_by_get(broker: Broker) -> None:
    headers = {"access-token": broker.token, "dhanClientId": ACCOUNT}
    status, body = await broker.call("POST", "/v2/RenewToken", headers=headers)
    assert (status, body["errorCode"]) == (400, "DH-905")
    status, session = await broker.call("GET", "/v2/RenewToken", headers=headers)
    assert status == 200
    assert (await broker.call("GET", "/v2/profile"))[0] == 401, "the renewed token is dead"
    broker.token = session["accessToken"]
    assert (await broker.call("GET", "/v2/profile"))[0] == 200
    _, session = await login(broker)
    headers = {"access-token": session["accessToken"], "dhanClientId": ACCOUNT}
    status, body = await broker.call("GET", "/v2/RenewToken", headers=headers)
    assert (status, body["errorCode"]) == (400, "DH-905")


@live
async def test_addresses_are_kept_and_nothing_set_is_an_odd_200(broker: Broker) -> None:
    status, body = await broker.call("GET", "/v2/ip/getIP")
    assert (status, body[0]["status"]) == (200, "ERROR")
    status, body = await broker.call("POST", "/v2/ip/setIP", {"ip": "192.0.2.1", "ipFlag": "PRIMARY"})
    assert (status, body["status"]) == (200, "SUCCESS")
    await broker.call("PUT", "/v2/ip/modifyIP", {"ip": "192.0.2.2", "ipFlag": "SECONDARY"})
    _, body = await broker.call("GET", "/v2/ip/getIP")
    assert (body["primaryIP"], body["secondaryIP"]) == ("192.0.2.1", "192.0.2.2")
    assert body["modifyDatePrimary"] == "2026-09-16"
    status, body = await broker.call("POST", "/v2/ip/setIP", {"ip": "192.0.2.1", "ipFlag": "THIRD"})
    assert (status, body["errorCode"]) == (400, "DH-905")


@live
async def test_a_foreign_address_is_refused_for_orders_only(broker: Broker) -> None:
    async with broker.http.post(f"{broker.url}/_sim/faults", json={"kind": "refuse_ip"}) as response:
        assert response.status < 300, await response.text()
    for method, path in (("POST", "/v2/orders"), ("PUT", "/v2/orders/1"), ("DELETE", "/v2/orders/1")):
        status, body = await broker.call(method, path, {} if method != "DELETE" else None)
        assert (status, body["errorCode"], body["errorMessage"]) == (400, "DH-905", "Invalid IP")
    assert (await broker.call("GET", "/v2/orders"))[0] == 200
