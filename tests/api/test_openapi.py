"""The OpenAPI document is valid, complete, and says what the plugins of this host offer."""

from __future__ import annotations

import dataclasses

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from stretto.api.openapi import openapi
from stretto.api.routes import ROUTES
from stretto.host.contracts.request import INTERNAL, InvocationRequest

from .client import QUICK, Signed, Still


def test_document_is_valid_and_has_every_route(still: Still) -> None:
    answer = still.client.get("/api/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json
    OpenAPIV31SpecValidator(document).validate()
    listed = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert len(listed) == len({(route.method, route.path) for route in ROUTES})
    schemas = document["components"]["schemas"]
    fields = {field.name for field in dataclasses.fields(InvocationRequest)}
    properties = schemas["InvocationRequest"]["properties"]
    assert properties.keys() == fields - set(INTERNAL) | {"synchronous"}
    assert all(field["description"] for field in properties.values())
    assert set(still.host.offers("schedulers")) <= set(schemas["Scheduler"]["enum"])
    assert set(still.host.offers("controlnets")) == set(schemas["ControlNet"]["anyOf"][0]["enum"])


def test_every_answer_is_typed(still: Still) -> None:
    document = still.client.get("/api/openapi.json").json
    untyped = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation["responses"]["200"]["content"]
            shapes = [one["schema"] for one in content.values()]
            shapes += [shape["properties"]["data"] for shape in shapes if "properties" in shape]
            untyped += [f"{method} {path}" for shape in shapes if not shape]
    assert untyped == []


def test_500_is_in_no_call_and_every_error_is_told_of(still: Still) -> None:
    document = still.client.get("/api/openapi.json").json
    shared = document["components"]["responses"]
    for path, item in document["paths"].items():
        for operation in item.values():
            answers = operation["responses"]
            assert "500" not in answers, path
            errors = [one["$ref"].rpartition("/")[2] for one in answers.values() if "$ref" in one]
            assert "Error400" in errors, path
            assert all(shared[name]["description"] and shared[name]["x-problem-types"] for name in errors), (
                path
            )


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (QUICK, True),
        (
            {"lora": "a", "upscale": ["esrgan", "a.pth"], "tile": "x", "scheduler": "euler", "width": None},
            True,
        ),
        (
            {"controlnet": ["canny", {"controlnet": "a.pth", "scale": 0.5}], "nodes": [{"w": 64, "h": 64}]},
            True,
        ),
        ({"scheduler": "nothing"}, False),
        ({"width": 7}, False),
        ({"fit": "contains"}, False),
    ],
)
def test_schema_of_an_invocation_takes_what_the_server_takes(still: Still, body: object, fits: bool) -> None:
    document = still.client.get("/api/openapi.json").json
    schema = {"$ref": "#/components/schemas/InvocationRequest", "components": document["components"]}
    assert Draft202012Validator(schema).is_valid(body) is fits


def test_plugin_offers_are_words_of_the_document() -> None:
    names = (("schedulers", ("odd",)), ("controlnets", ()), ("upscalers", ()), ("vaes", ()))
    document = openapi(ROUTES, "1", names)
    assert document["components"]["schemas"]["Scheduler"]["enum"] == ["odd"]


def test_anybody_may_read_the_document_and_its_page(signed: Signed) -> None:
    client = signed.still.client
    assert client.get("/api/openapi.json").status == 200
    page = client.get("/api/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"//" not in page.body
    assert b'fetch("openapi.json")' in page.body
