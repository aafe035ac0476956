"""What chart pages keep on the server: a map from names to any JSON, in the instance's database."""

from __future__ import annotations

from typing import Any

import msgspec
from marshmallow import INCLUDE, ValidationError, pre_load, validates_schema

from brokers.errors import InvalidRequest
from gateway.api.parts import Call, Parts
from gateway.api.schemas import KeyOnly

MOST_KEYS = 50
LONGEST_KEY = 50
LARGEST_VALUE = 1024 * 1024
MOST_KEPT = 1000
"""Names one instance keeps at most, over all requests."""

# numbers of a request are Decimal; they go back as the numbers they were
_encode = msgspec.json.Encoder(decimal_format="number").encode


class ChartRead(KeyOnly):
    """``GET /chart``: every stored name."""

    @pre_load
    def _key(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if not data.get("apikey"):
            raise InvalidRequest("Missing apikey parameter")
        return data


class ChartWrite(KeyOnly):
    """Any names beside the key."""

    class Meta:
        unknown = INCLUDE

    @validates_schema
    def _bounds(self, data: dict[str, Any], **_: Any) -> None:
        names = [name for name in data if name != "apikey"]
        if not names:
            raise ValidationError("No preferences given.")
        if len(names) > MOST_KEYS:
            raise ValidationError(f"Too many preferences: {len(names)}, at most {MOST_KEYS}.")
        wrong: dict[str, list[str]] = {}
        for name in names:
            if not 1 <= len(name) <= LONGEST_KEY:
                wrong[name[: LONGEST_KEY + 1]] = [f"Length must be between 1 and {LONGEST_KEY}."]
            elif len(_encode(data[name])) > LARGEST_VALUE:
                wrong[name] = [f"Value must not be larger than {LARGEST_VALUE} bytes as JSON."]
        if wrong:
            raise ValidationError(wrong)


def read(parts: Parts, _call: Call) -> dict[str, Any]:
    kept = parts.preferences.all()
    return {"status": "success", "data": {name: msgspec.Raw(text.encode()) for name, text in kept.items()}}


def write(parts: Parts, call: Call) -> dict[str, Any]:
    """Names not sent stay as they are."""
    given = {name: _encode(value).decode() for name, value in call.data.items() if name != "apikey"}
    parts.preferences.merge(given, MOST_KEPT)
    return {"status": "success", "message": "Preferences updated successfully"}
