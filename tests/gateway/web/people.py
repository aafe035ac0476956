"""What a person does with a browser, without the browser."""

from __future__ import annotations

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from tests.gateway.api.rig import Rig

OWNER = {"username": "asha", "password": "correct horse battery"}


def token(client: FlaskClient, path: str = "/sign-in") -> str:
    page = client.get(path, follow_redirects=True).get_data(as_text=True)
    found = re.search(r'name="csrf_token" value="(\w+)"', page)
    assert found is not None, page
    return found[1]


def post(client: FlaskClient, path: str, fields: dict[str, str], **headers: str) -> Any:
    """A form with its token; ``Sec_Fetch_Site="…"`` style keywords become headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, data={"csrf_token": token(client), **fields}, headers=named)


def make_owner(rig: Rig, client: FlaskClient | None = None, **changes: str) -> Any:
    fields = {"code": rig.code.current() or "", **OWNER, "repeat": OWNER["password"], **changes}
    return post(client or rig.app.test_client(), "/setup", fields)


def sign_in(rig: Rig) -> FlaskClient:
    client = rig.app.test_client()
    assert post(client, "/sign-in", OWNER).status_code == 303
    return client


def cookie(client: FlaskClient) -> str:
    found = client.get_cookie("session_dhan")
    assert found is not None
    return found.value


def pages_of(app: Flask) -> set[str]:
    """Paths a person opens: of the pages' blueprint, read, without a part to fill in."""
    rules = (rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("web."))
    return {rule.rule.strip("/") for rule in rules if "GET" in (rule.methods or ()) and not rule.arguments}
