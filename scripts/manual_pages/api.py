"""The REST API, from the document every instance serves at ``/api/v1/openapi.json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask

from gateway.api import openapi
from scripts.manual_pages.words import NOTE, code, joined, prose, table

HEAD = """\
# REST API

The base is `http://127.0.0.1:PORT/api/v1`, one port an instance. What stands here is also served as OpenAPI
3.1 at `/api/v1/openapi.json`, together with the shape of every answer. A POST carries its API key as
`apikey` in the body, a GET as the query's `apikey` or the header `X-API-KEY`. Success is HTTP 200;
everything else has a `code` from [this list](errors.md). Unknown fields are refused, numbers may be sent as
text.
"""
LATER = "Not available yet"


def document() -> dict[str, Any]:
    app = Flask("reference")
    app.register_blueprint(openapi.blueprint())
    found = app.test_client().get("/api/v1/openapi.json").get_json()
    assert isinstance(found, dict)
    return found


def page() -> str:
    whole = document()
    schemas = whole["components"]["schemas"]
    groups: dict[str, list[str]] = {}
    later: list[str] = []
    for path, methods in whole["paths"].items():
        for method, one in methods.items():
            if str(one.get("summary", "")).startswith(LATER):
                later.append(f"`{method.upper()} {path}`")
                continue
            group = "historify" if path.startswith("/historify") else "rest"
            groups.setdefault(group, []).extend(_endpoint(method, path, one, schemas))
    return joined(
        [
            NOTE,
            "",
            HEAD,
            *groups["rest"],
            "## The market-data store",
            "",
            *groups["historify"],
            "## Answered with 501",
            "",
            "Known to OpenAlgo and not offered here (`NOT_SUPPORTED`): " + ", ".join(later) + ".",
        ]
    )


def _endpoint(method: str, path: str, one: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    depth = "###" if path.startswith("/historify") else "##"
    yield f"{depth} {method.upper()} {path}"
    yield ""
    said = prose(str(one.get("summary") or ""))
    if said:
        yield from [said if said.endswith(".") else f"{said}.", ""]
    rows = [_parameter(p) for p in one.get("parameters", ())]
    body = (one.get("requestBody") or {}).get("content", {})
    for content in body.values():
        rows += _fields(_resolved(content.get("schema") or {}, schemas), schemas)
    rows = [row for row in rows if row[0] != "`apikey`"]
    if rows:
        yield from table(("Field", "Type", "Required", "Default", "Allowed"), rows)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found = schemas[name] if name else schema
    assert isinstance(found, Mapping)
    return found


def _parameter(one: Mapping[str, Any]) -> tuple[str, ...]:
    return _row(str(one["name"]), one.get("schema") or {}, bool(one.get("required")))


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[tuple[str, ...]]:
    required = set(schema.get("required", ()))
    rows = []
    for name, one in (schema.get("properties") or {}).items():
        rows.append(_row(name, one, name in required))
        inner = one.get("items") or {}
        if "$ref" in inner:
            of = _resolved(inner, schemas)
            needs = set(of.get("required", ()))
            rows += [_row(f"{name}[].{key}", value, key in needs) for key, value in of["properties"].items()]
    return rows


def _row(name: str, one: Mapping[str, Any], required: bool) -> tuple[str, ...]:
    kinds = one.get("type", "")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    default = "" if "default" not in one or one["default"] in ("", None) else code(str(one["default"]))
    return code(name), kind or "any", "yes" if required else "", default, _allowed(one)


def _allowed(one: Mapping[str, Any]) -> str:
    said = []
    if choices := one.get("enum"):
        seen = dict.fromkeys(str(c).upper() if str(c).upper() in choices else str(c) for c in choices)
        said.append(", ".join(code(c) for c in seen if c))
    for key, words in (
        ("minimum", "from {}"),
        ("exclusiveMinimum", "above {}"),
        ("maximum", "to {}"),
        ("maxLength", "at most {} characters"),
        ("maxItems", "at most {}"),
    ):
        if key in one:
            said.append(words.format(one[key]))
    return "; ".join(said)
