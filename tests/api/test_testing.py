"""The fixture `client`: the API in the test's own process, over a plugin that is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PALETTE = '''
from dataclasses import dataclass

from stretto.host import Answer, NotFoundError, RouteSpec, hookimpl


@dataclass(frozen=True)
class Draft:
    """What to mix."""

    first: str
    share: float = 0.5


def mix(call):
    """Mix a colour with white."""
    if call.body.first == "plaid":
        raise NotFoundError("there is no colour plaid; name one")
    return Answer(value={"mixed": call.body.first, "share": call.body.share, "who": call.header("X-Who")})


@hookimpl
def register_routes():
    return [RouteSpec(name="mix", title="Mix", method="POST", path="/api/mix", handle=mix, body=Draft,
                      answer=dict[str, str | float | None])]
'''
pytestmark = pytest.mark.stretto(plugins=["palette"], settings={"max_queued_invocations": 3})


@pytest.fixture(autouse=True)
def palette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "palette.py").write_text(PALETTE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "palette", raising=False)


def test_it_calls_a_route_as_the_server_would(client: Any) -> None:
    answer = client.post("/api/mix", {"first": "red"}, headers={"X-Who": "ann"})
    assert answer.data == {"mixed": "red", "share": 0.5, "who": "ann"}
    assert answer.headers["content-type"] == "application/vnd.api+json"
    refused = client.post("/api/mix", {"first": "plaid"})
    assert (refused.status, refused.errors[0]["title"]) == (404, "NotFoundError")
    wrong = client.post("/api/mix", {"share": "much"})
    assert wrong.status == 400
    with pytest.raises(AssertionError, match="404"):
        _ = refused.data


def test_it_is_over_a_host_of_the_marks_settings(client: Any, tmp_path: Path) -> None:
    assert client.host.settings.max_queued_invocations == 3
    assert client.get("/api/settings").data
    assert client.get("/api/none?a=%20b").status == 404
    assert client.delete("/api/none").status == 404
    assert client.host.folders.root.is_relative_to(tmp_path)


def test_it_draws_in_the_worker(client: Any, starter: Path) -> None:
    seen = client.invoke(prompt="a red circle", seed=1, num_inference_steps=1)
    assert len(seen["images"]) == 1


def test_an_invocation_that_is_refused_is_said(client: Any, open_host: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError, match="400"):
        client.invoke(prompt="a red circle", num_inference_steps=-1)
