"""Problem details for those who ask for them, and the contract's envelope for everybody else."""

from __future__ import annotations

import pytest
from stretto.api.problems import PROBLEMS, pointer, wants_problem

from .client import Still

PROBLEM = {"Accept": "application/problem+json"}


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/problem+json", True),
        ("application/json, application/Problem+JSON;q=0.9", True),
        ("application/vnd.api+json, application/problem+json;q=0.5", False),
        ("application/problem+json;q=0", False),
        ("application/problem+json;q=x", False),
    ],
)
def test_accept_decides(accept: str, wanted: bool) -> None:
    assert wants_problem(accept) is wanted


@pytest.mark.parametrize(
    ("field", "body", "expected"),
    [
        ("width", {"width": 1}, ("#/width", 1)),
        ("nodes[1].w", {"nodes": [{}, {"w": 0}]}, ("#/nodes/1/w", 0)),
        ("nodes[1].x", {"nodes": [{}, {}]}, ("#/nodes/1/x", None)),
        ("upscale[0]", {"upscale": "x"}, ("#/upscale", "x")),
        ("lora[0].weight", {"lora": {"weight": "x"}}, ("#/lora/weight", "x")),
        ("a/b~c", {"a/b~c": 2}, ("#/a~1b~0c", 2)),
        ("width", None, ("#/width", None)),
        ("body", {}, ("#", None)),
    ],
)
def test_pointer_leads_into_what_was_sent(field: str, body: object, expected: tuple[str, object]) -> None:
    assert pointer(field, body) == expected


def test_every_fault_has_its_pointer_and_the_nearest_value(still: Still) -> None:
    body = {
        "prompt": "x",
        "width": 20000,
        "fit": "contains",
        "lora": {"model": 3},
        "guidance_scale": "-1.5",
        "samples": True,
    }
    answer = still.client.call("POST", "/api/invoke", body, PROBLEM)
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Accept" in answer.headers["Vary"]
    made = answer.json
    assert (made["type"], made["title"], made["status"], made["instance"]) == (
        "/api/problems/invalid-request", "Invalid request", 400, "/api/invoke"
    )  # fmt: skip
    nearest = {entry["pointer"]: entry.get("nearest") for entry in made["errors"]}
    assert nearest == {
        "#/width": 16384, "#/fit": "contain", "#/lora/model": None, "#/guidance_scale": 0.0, "#/samples": None,
    }  # fmt: skip
    assert len(still.client.post("/api/invoke", body).json["errors"]) == len(nearest)


def test_faults_of_a_query_name_their_parameter(still: Still) -> None:
    path = "/api/invocation-history?sort=startet"
    made = still.client.call("GET", path, None, PROBLEM).json
    assert [(entry["parameter"], entry["nearest"]) for entry in made["errors"]] == [("sort", "started")]
    assert made["instance"] == "/api/invocation-history"


def test_one_fault_says_its_nearest_name_beside_it(still: Still) -> None:
    made = still.client.call("POST", "/api/invoke", {"prompt": "x", "model": "startr"}, PROBLEM).json
    assert (made["type"], made["nearest"]) == ("/api/problems/not-found", "starter")


@pytest.mark.parametrize("path", ["/api/nothing", "/api/models/nothing", "/api/problems/nothing"])
def test_what_is_not_there_is_a_problem_too(still: Still, path: str) -> None:
    answer = still.client.call("GET", path, None, PROBLEM)
    assert (answer.status, answer.json["type"]) == (404, "/api/problems/not-found")
    assert "errors" not in answer.json


def test_every_type_has_a_page_that_loads_nothing(still: Still) -> None:
    for slug, kind in PROBLEMS.items():
        answer = still.client.get(f"/api/problems/{slug}")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert kind.title.encode() in answer.body
    everything = still.client.get("/api/problems").body
    assert all(f'id="{slug}"'.encode() in everything for slug in PROBLEMS)
    assert b"//" not in everything
