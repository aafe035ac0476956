"""``GET /api/v1/openapi.json``: OpenAPI 3.1 made from the surface table and the request schemas.

Nothing in it is written twice: paths, limits and styles come from ``surface``, fields from the marshmallow
schemas (by apispec), answers from ``answers``, error codes from ``errors``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint, Response
from marshmallow import Schema, fields, validate

from gateway.api import analyzing, answers, errors, historify, leases, older, panic, semiauto
from gateway.api.fields import Number, TextOrNumber, Whole
from gateway.api.option_schemas import ClockTime, ExpiryDate
from gateway.api.parts import Endpoint
from gateway.api.surface import ENDPOINTS
from gateway.scopes import SAYS

PREFIX = "/api/v1"
VERSION = "1.0"
ERROR = "Error"
OLDER_ERROR = "OlderError"
ANY_OBJECT = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
NUMERIC_TEXT = r"^\s*[+-]?[0-9.eE+-]+\s*$"
MESSAGES = {
    "V1": "`message` is the text of a dictionary: field to messages",
    "V2": "`message` is an object: field to messages",
    "V3": "`message` is 'Validation error', `errors` the object: field to messages",
    "V4": "`message` is 'Validation failed', `errors` the object: field to messages",
}


def blueprint() -> Blueprint:
    """The document, built once; needs no key, tells nothing about this instance."""
    rows = (*ENDPOINTS, *panic.ENDPOINTS, *leases.ENDPOINTS, *analyzing.ENDPOINTS, *historify.ENDPOINTS)
    text = msgspec.json.encode(document(rows, older.ENDPOINTS))
    api = Blueprint("openapi", __name__)

    @api.get(f"{PREFIX}/openapi.json")
    def openapi() -> Response:
        return Response(text, content_type="application/json")

    return api


def document(endpoints: Iterable[Endpoint], older: Iterable[Endpoint] = ()) -> dict[str, Any]:
    """The whole document as plain values.

    Args:
        older: Rows of the surface before OpenAlgo's, whose errors say ``error`` instead of ``message``.
    """
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: _class_of(schema).__name__)
    spec = APISpec(
        title="algo gateway",
        version=VERSION,
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": "OpenAlgo-compatible REST API of one instance. " + _conventions()},
        servers=[{"url": PREFIX}],
    )
    converter = plugin.converter
    if converter is None:
        raise TypeError("apispec made no converter for marshmallow")
    converter.add_attribute_function(_numbers_as_text)  # type: ignore[no-untyped-call]
    spec.components.schema(ERROR, _error("message"))
    spec.components.schema(OLDER_ERROR, _error("error"))
    rows = [(endpoint, ERROR) for endpoint in endpoints] + [(endpoint, OLDER_ERROR) for endpoint in older]
    for endpoint, error in rows:
        operation = _operation(endpoint, error)
        if endpoint.method == "GET":
            operation["parameters"] = _parameters(endpoint, plugin)
        else:
            schema = {"$ref": f"#/components/schemas/{endpoint.schema.__name__}"}
            if endpoint.schema.__name__ not in spec.components.schemas:
                spec.components.schema(endpoint.schema.__name__, schema=endpoint.schema)
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        path = "/" + endpoint.path.replace("<", "{").replace(">", "}")
        spec.path(path, operations={endpoint.method.lower(): operation})
    for path, answer in answers.ALERTS.items():
        spec.path(path, operations={"post": _alert(path, answer)})
    found: dict[str, Any] = _plain(spec.to_dict())
    return found


def _alert(path: str, answer: dict[str, Any]) -> dict[str, Any]:
    """A webhook. Fields that are not listed are taken and named in ``ignored``."""
    chartink = path.startswith("/chartink")
    names = ("stocks", "scan_name") if chartink else ("symbol", "action")
    properties: dict[str, Any] = {name: answers.TEXT for name in (*names, "client_order_id")}
    if not chartink:
        properties["position_size"] = {"type": ["number", "string"]}
    body = {"type": "object", "properties": properties, "required": sorted(names)}
    problem = {"application/json": {"schema": answers.ALERT_ERROR}}
    statuses = {status: "See `code`." for status in ("400", "403", "404", "413", "429", "500", "503")}
    return {
        "operationId": "alert_chartink" if chartink else "alert_strategy",
        "tags": ["webhooks"],
        "servers": [{"url": "/"}],  # beside /api/v1
        "summary": "An alert of a Chartink scan."
        if chartink
        else "An alert of a strategy, from any program.",
        "parameters": [{"name": "webhook_id", "in": "path", "required": True, "schema": answers.TEXT}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {
                "description": "Taken; it leaves in the background.",
                "content": {"application/json": {"schema": answer}},
            },
            **{status: {"description": text, "content": problem} for status, text in statuses.items()},
        },
        "x-rate-limit": "WEBHOOK_RATE_LIMIT",
        "x-auth": "path_id",
        "x-available": True,
    }


def _conventions() -> str:
    return (
        "Success is always HTTP 200 with `status`; every error has `status`, `message` and `code`. Numbers "
        "may be sent as JSON numbers or as text. Paths answer with and without a trailing slash. Unknown "
        "fields are refused. A key may be made for some scopes only; `x-scope` names the one that each "
        f"operation needs ({'; '.join(f'{scope.value}: {said}' for scope, said in SAYS.items())}), and a key "
        "without it is answered 403 with the code `SCOPE_MISSING`."
    )


def _operation(endpoint: Endpoint, error: str) -> dict[str, Any]:
    name = f"{endpoint.method} {endpoint.path}"
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", name.lower()).strip("_"),
        "tags": [endpoint.path.partition("/")[0]],
        "responses": _responses(endpoint, name, error),
        "x-rate-limit": endpoint.limit,
        "x-auth": endpoint.auth,
        "x-scope": endpoint.scope.value if endpoint.scope is not None else "any",
        "x-available": endpoint.handler is not None,
    }
    if endpoint.handler is None:
        operation["summary"] = "Not available yet: answers 501 after the key check."
    elif endpoint.handler.__doc__:
        operation["summary"] = endpoint.handler.__doc__.strip().splitlines()[0]
    return operation


def _responses(endpoint: Endpoint, name: str, error: str) -> dict[str, Any]:
    """200 and every error status with its codes; the key's own status where it differs."""
    codes: dict[int, list[str]] = defaultdict(list)
    for code, status in errors.STATUS.items():
        codes[status].append(code)
    if endpoint.bad_key_status != 403:
        codes[403].remove("INVALID_API_KEY")
        codes[endpoint.bad_key_status] = ["INVALID_API_KEY"]
    found = {
        str(status): {
            "description": f"{', '.join(sorted(codes[status]))}"
            + (f". Bad fields: {MESSAGES[endpoint.style]}." if status == 400 else ""),
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}},
        }
        for status in sorted(codes)
    }
    if endpoint.handler is None:
        return found
    schema = answers.ANSWERS.get(name, ANY_OBJECT)
    if endpoint.path in semiauto.QUEUED:
        schema = {"anyOf": [schema, answers.QUEUED]}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if (other := answers.TEXT_ANSWERS.get(name)) is not None:
        content[other] = {"schema": {"type": "string"}}
    return {"200": {"description": "Done.", "content": content}, **found}


def _parameters(endpoint: Endpoint, plugin: MarshmallowPlugin) -> list[dict[str, Any]]:
    assert plugin.converter is not None
    found = []
    for name, field in endpoint.schema().fields.items():
        in_path = f"<{name}>" in endpoint.path
        found.append(
            {
                "name": name,
                "in": "path" if in_path else "query",
                "required": field.required,
                "schema": plugin.converter.field2property(field),
            }
        )
    return found


def _error(sentence: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["status", sentence, "code"],
        "properties": {
            "status": {"const": "error"},
            sentence: {"description": "Text, or an object where the endpoint has style V2."},
            "code": {
                "type": "string",
                "description": f"One of {', '.join(sorted(errors.STATUS))}, or finer.",
            },
            "next_step": {"type": "string"},
            "errors": {"type": "object"},
            "retry_after": {"type": "integer"},
        },
    }


def _numbers_as_text(_: Any, field: fields.Field[Any], **__: Any) -> dict[str, Any]:
    """What our own fields take beside what marshmallow's do, and bounds apispec does not see."""
    if isinstance(field, Number | Whole):
        kinds = ["integer" if isinstance(field, Whole) else "number", "string"]
        bounds: dict[str, Any] = {"type": [*kinds, "null"] if field.allow_none else kinds}
        bounds["pattern"] = NUMERIC_TEXT
        for check in field.validators:
            if isinstance(check, validate.Range):
                bounds |= _range(check)
        return bounds
    if isinstance(field, TextOrNumber):
        return {"type": ["string", "integer"]}
    if isinstance(field, ExpiryDate):
        return {"pattern": r"^\s*\d\d-?[A-Za-z]{3}-?\d\d\s*$", "examples": ["28MAR24"]}
    if isinstance(field, ClockTime):
        return {"pattern": r"^\d{1,2}:\d\d$", "examples": ["15:30"]}
    return {}


def _range(check: validate.Range) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if check.min is not None:
        found["minimum" if check.min_inclusive else "exclusiveMinimum"] = check.min
    if check.max is not None:
        found["maximum" if check.max_inclusive else "exclusiveMaximum"] = check.max
    return found


def _class_of(schema: Any) -> type[Schema]:
    return schema if isinstance(schema, type) else type(schema)


def _plain(value: Any) -> Any:
    """Decimals as numbers, mappings and sequences as JSON has them; apispec's own hints dropped."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        kept = {str(k): _plain(v) for k, v in value.items() if k not in ("x-minimum", "x-maximum")}
        if "exclusiveMinimum" in kept:
            kept.pop("minimum", None)
        return kept
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
