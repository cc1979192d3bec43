from __future__ import annotations

import copy
import json

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.host.errors import BadRequestError

from .plans import FULL, PLAN


@pytest.mark.parametrize("plan", [PLAN, FULL])
def test_round_trip(plan):
    stored = json.loads(json.dumps(plan.to_json()))
    assert plan_from_json(stored) == plan
    assert plan_from_json(stored["resolved"]) == plan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda resolved: resolved.update(version=99), "has version 99"),
        (lambda resolved: resolved.pop("version"), "has version None"),
        (lambda resolved: resolved.update(width="wide"), "width"),
        (lambda resolved: resolved["nodes"][0].pop("prompt"), "nodes.0.prompt"),
        (lambda resolved: resolved["model"].update(kind="cheese"), "model.kind"),
    ],
)
def test_what_is_no_plan_of_this_version_is_refused(change, words):
    stored = copy.deepcopy(PLAN.to_json())
    change(stored["resolved"])
    with pytest.raises(BadRequestError, match=words):
        plan_from_json(stored)


def test_the_plan_of_another_program_is_refused():
    with pytest.raises(BadRequestError, match="has version None"):
        plan_from_json({"model": "x", "prompt": "y"})
