from __future__ import annotations

import pytest

from ..stand_in import standing_in

ITEM = {
    "id": 7,
    "name": "A model",
    "description": "<p>One <b>word</b> &amp; more</p><script>x()</script><ul><li>two</li></ul>",
    "nsfw": False,
    "modelVersions": [{"files": [{"name": "a.safetensors", "hashes": {"SHA256": "AB"}}]}],
}


@pytest.fixture
def away(still):
    with standing_in() as other:
        still.client.post("/api/settings", {"civitai_url": other.url})
        yield other


def test_items_come_as_they_are_without_html(still, away):
    asked = []
    away.answer = lambda query: asked.append(query) or {"items": [dict(ITEM)], "metadata": {}}
    found = still.client.get("/api/civitai/lora?query=cat&page=2&nsfw=true&allow_commercial_use=Rent").data
    assert found == [ITEM | {"description": "One word & more\ntwo"}]
    assert asked == [
        {
            "types": ["LORA"], "limit": ["20"], "sort": ["Most Downloaded"], "period": ["Month"], "nsfw": ["true"],
            "query": ["cat"], "page": ["2"], "allowCommercialUse": ["Rent"],
        }
    ]  # fmt: skip


def test_what_is_not_safe_is_not_asked_for_where_it_is_not_wanted(still, away):
    asked = []
    away.answer = lambda query: asked.append(query["nsfw"]) or {"items": []}
    still.host.update_settings(type(still.host.settings)(safe=True, civitai_url=away.url))
    assert still.client.get("/api/civitai/poses?nsfw=true").data == []
    assert asked == [["false"]]


def test_other_kinds_are_refused(still, away):
    answer = still.client.get("/api/civitai/loar")
    assert answer.status == 400
    assert answer.details == ["Unknown lookup type loar; did you mean 'lora'?"]


@pytest.mark.parametrize("found", [[], {"items": 3}, "x"])
def test_other_answers_are_said(still, away, found):
    away.answer = lambda _query: found
    answer = still.client.get("/api/civitai/lora")
    assert (answer.status, answer.json["errors"][0]["title"]) == (502, "BadGatewayError")
    assert "civitai_url" in answer.details[0]


def test_without_a_network_the_reason_is_said(still):
    still.client.post("/api/settings", {"civitai_url": "http://127.0.0.1:1"})
    answer = still.client.get("/api/civitai/checkpoint")
    assert answer.status == 502
    assert "http://127.0.0.1:1" in answer.details[0]
    assert answer.details[0].endswith("); check the network and the setting civitai_url")
