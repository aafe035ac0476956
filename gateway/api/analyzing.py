"""Routes of the sandbox that OpenAlgo does not have as endpoints: beginning anew, daily results."""

from __future__ import annotations

from flask import Blueprint, Response
from marshmallow import Schema

from gateway.api.analyzer import OWN
from gateway.api.dispatch import PREFIX, Dispatcher
from gateway.api.parts import Endpoint, Parts

ENDPOINTS = OWN


def blueprint(parts: Parts) -> Blueprint:
    """Both slash forms, without redirects."""
    dispatcher = Dispatcher(parts)
    api = Blueprint("analyzer", __name__)
    for endpoint in OWN:
        schema = endpoint.schema()

        def view(endpoint: Endpoint = endpoint, schema: Schema = schema) -> Response:
            return dispatcher.serve(endpoint, schema)

        for form in (f"{PREFIX}/{endpoint.path}", f"{PREFIX}/{endpoint.path}/"):
            api.add_url_rule(form, endpoint.path, view, methods=[endpoint.method], strict_slashes=True)
    return api
