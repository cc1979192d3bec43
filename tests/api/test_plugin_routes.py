"""Routes of plugins, from real plugin files over HTTP; every answer is held to the server's own document."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from stretto.api import plugin_routes
from stretto.api.accounts import first_administrator
from stretto.api.routes import ROUTES
from stretto.host.errors import PluginClashError
from stretto.host.plugboard.alterations import Alteration
from stretto.host.plugboard.reserved import OWN_WORDS
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

from .client import Answer, Client, Signed, Still
from .conformance import Contract, deviations
from .fuzzing import Fuzz
from .routed import HEAD, PALETTE, SLOW


@pytest.fixture
def plug(tmp_path: Path, plugins_file: Path) -> Callable[[str, str], Path]:
    """Give what writes a plugin and names it in plugins.toml."""
    paths: list[str] = []

    def plugged(name: str, source: str) -> Path:
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        paths.append(str(path))
        plugins_file.write_text(f"[host]\nautoload = false\npaths = {paths}\n")
        return path

    return plugged


@pytest.fixture
def palette(plug: Callable[[str, str], Path], request: pytest.FixtureRequest) -> Still:
    plug("palette", PALETTE)
    still: Still = request.getfixturevalue("still")
    still.client.contract = Contract(still.client.get("/api/openapi.json").json)
    return still


def details(answer: Answer, status: int) -> list[str]:
    assert answer.status == status, answer.body
    return answer.details


def test_an_answer_is_in_the_envelope_with_its_headers(palette: Still) -> None:
    answer = palette.client.get("/api/palette/a%20b%C3%A9?size=2&order=share&tag=x&tag=y")
    assert answer.data == {
        "picture": "a bé",
        "size": 2,
        "order": "share",
        "tags": ["x", "y"],
        "marks": [{"x": 1, "y": 0}],
    }
    assert answer.json["meta"] == {"params": {"size": ["2"], "order": ["share"], "tag": ["x", "y"]}}
    assert answer.headers["X-Colours"] == "3"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_what_holds_for_every_route_holds_for_these(palette: Still) -> None:
    client = palette.client
    head = client.call("HEAD", "/api/palette/a/", headers={"X-Request-Id": "abc"})
    assert (head.status, head.body, head.headers["X-Request-Id"]) == (200, b"", "abc")
    assert int(head.headers["Content-Length"]) > 0
    assert client.call("OPTIONS", "/api/palette/a").status == 200
    assert client.get("/api/palette/a").data["tags"] == []
    for method, path in (("PUT", "/api/palette/a"), ("GET", "/api/palette/a/b"), ("GET", "/api/palette/%ff")):
        assert details(client.call(method, path), 404) == [
            f"No handler found matching method {method} and path {path}."
        ]
    problem = client.call("GET", "/api/palette/a?size=9", headers={"Accept": "application/problem+json"})
    assert problem.json["errors"] == [
        {"detail": '"9" is not a whole number from 1 to 8', "parameter": "size"}
    ]


def test_words_go_before_names(palette: Still) -> None:
    answer = palette.client.get("/api/palette/dot.png")
    assert (answer.body, answer.headers["Content-Type"]) == (b"dot", "image/png")


def test_a_handler_sees_who_asks(palette: Still) -> None:
    answer = palette.client.call("GET", "/api/palette/who/am/i?size=9", headers={"X-Word": "yes"})
    assert answer.data == ["noauth", True, "yes", palette.host.version, None, None]


def test_every_fault_of_query_and_body_is_told_at_once(palette: Still) -> None:
    client = palette.client
    assert details(client.get("/api/palette/a?size=9&order=hew&sise=2"), 400) == [
        'size: "9" is not a whole number from 1 to 8',
        "order: \"hew\" is not one of hue, share; did you mean 'hue'?",
        "sise: is not known here; did you mean 'size'?",
    ]
    body = {"seed": "x", "marks": [{"y": True}, {"x": 1, "z": 2}], "more": 3}
    assert details(client.post("/api/palette", body), 400) == [
        "marks[0].y: true is not a whole number",
        "prompt: is missing in an object with 2 keys; name it",
        'seed: "x" is not a whole number',
        "more: 3 is not an object",
        "marks[1].z: is not known here; known: x, y",
    ]
    assert details(client.post("/api/palette", {"prompt": None}), 400) == ["prompt: null is not text"]
    assert details(client.post("/api/palette", {"prompt": True}), 400) == ["prompt: true is not text"]
    assert details(client.post("/api/palette", b"[1]"), 400)[0].startswith("The body is a JSON list")
    assert palette.store.waiting() == 0


def test_a_body_over_the_limit_is_refused(palette: Still) -> None:
    palette.client.post("/api/settings", {"max_body_bytes": 1048576})
    answer = palette.client.post("/api/palette", {"prompt": "x" * 1048576})
    assert answer.status == 413


def test_who_may_call_is_the_routes_to_say(palette: Still, request: pytest.FixtureRequest) -> None:
    signed: Signed = request.getfixturevalue("signed")
    stranger = palette.client
    assert stranger.get("/api/palette/dot.png").status == 200
    assert details(stranger.get("/api/palette/a"), 401) == ["Invalid or no credentials supplied."]
    # a route that anybody may call queues for users alone
    assert details(stranger.post("/api/palette/open", {"prompt": "a"}), 401) == [
        "Invalid or no credentials supplied."
    ]
    assert signed.ann.get("/api/palette/who/am/i").data[:2] == ["ann", False]
    assert details(signed.ann.delete("/api/palette/a"), 403) == [
        "User ann is not authorized to call on DELETE /api/palette/<picture>."
    ]
    assert signed.admin.delete("/api/palette/a").status == 200
    drawn = signed.ann.post("/api/palette", {"prompt": "a"}).data
    assert (drawn["user"], drawn["admin"], len(drawn["uuids"])) == ("ann", False, 1)
    assert signed.ann.get(f"/api/invocation/{drawn['uuids'][0]}").data["status"] == "queued"
    assert signed.bob.get(f"/api/invocation/{drawn['uuids'][0]}").status == 404


def test_a_key_gets_the_first_invocations_again(palette: Still) -> None:
    key = {"Idempotency-Key": "one"}
    body = {"prompt": "a", "more": {"twice": True}}
    first = palette.client.call("POST", "/api/palette", body, key).data["uuids"]
    assert len(set(first)) == 2
    assert palette.client.call("POST", "/api/palette", body, key).data["uuids"] == first
    assert palette.store.waiting() == 2
    assert palette.client.call("POST", "/api/palette", {"prompt": "b"}, key).status == 422
    assert palette.client.call("POST", "/api/palette", {"prompt": "a"}, {"Idempotency-Key": ""}).status == 400


def test_a_full_queue_is_told_as_invoke_tells_it(palette: Still) -> None:
    palette.client.post("/api/settings", {"max_queued_invocations": 0})
    assert palette.client.post("/api/palette", {"prompt": "a"}).status == 200
    answer = palette.client.post("/api/palette", {"prompt": "a"})
    assert (answer.status, answer.headers["Retry-After"]) == (429, "5")


def test_errors_of_the_host_keep_their_status(palette: Still) -> None:
    assert details(palette.client.get("/api/palette/missing"), 404) == ["there is no such palette; make one"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("nothing", "KeyError: 'nothing'"),
        ("exit", "SystemExit: 3"),
        ("number", "TypeError: it gave int; a route gives Answer or BytesAnswer"),
        ("object", "TypeError: Object of type object is not JSON serializable"),
        ("nan", "ValueError: Out of range float values are not JSON compliant"),
        ("half", "UnicodeEncodeError: "),
        ("header", "ValueError: 'X-A': '1\\r\\nX-B: 2' is no header that a route may add"),
        ("length", "ValueError: 'Content-Length': '1' is no header that a route may add"),
        ("text", "TypeError: a BytesAnswer has bytes and a media type, not str"),
    ],
)
def test_a_handler_that_fails_is_named_and_charged(
    palette: Still, how: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = palette.client.get(f"/api/failing/{how}")
    assert answer.json["errors"][0]["title"] == "PluginError"
    said = f"the plugin 'palette' raised in its route GET /api/failing/<how>: {why}"
    assert details(answer, 500)[0].startswith(said)
    assert "Traceback" in caplog.text
    assert f"GET /api/failing/{how} failed" in caplog.text
    palette.client.get("/metrics")  # what is charged at one look is there at the next
    metrics = palette.client.get("/metrics").body.decode()
    assert 'stretto_plugin_failures_total{hook="route",plugin="palette"} 1.0' in metrics
    assert 'stretto_plugin_calls_total{hook="route",plugin="palette"} 1.0' in metrics
    line = 'stretto_http_requests_total{method="GET",route="/api/failing/<how>",status="500"} 1.0'
    assert line in metrics


def test_the_document_has_these_routes(palette: Still) -> None:
    document = palette.client.get("/api/openapi.json").json
    OpenAPIV31SpecValidator(document).validate()
    call = document["paths"]["/api/palette/{picture}"]["get"]
    assert (call["operationId"], call["summary"], call["tags"]) == (
        "palette.colours",
        "Colours of a picture",
        ["palette"],
    )
    assert call["description"] == "Give the colours of a picture.\n\nThe most frequent come first."
    assert document["paths"]["/api/palette/who/am/i"]["get"]["description"] == "Say who asks."
    parameters = {one["name"]: one for one in call["parameters"]}
    assert parameters.keys() == {"picture", "size", "order", "tag"}
    assert parameters["size"]["schema"] == {"type": "integer", "default": 3, "minimum": 1, "maximum": 8}
    assert parameters["order"]["schema"]["enum"] == ["hue", "share"]
    assert call["security"] == [{}, {"bearer": []}, {"cookie": []}]
    assert document["paths"]["/api/palette/dot.png"]["get"]["security"] == []
    secret = document["paths"]["/api/palette/{picture}"]["delete"]
    assert secret["x-administrators-only"] is True
    assert secret["responses"].keys() == {"200", "400", "401", "403", "404", "503", "default"}
    assert document["tags"][-1] == {"name": "palette", "description": "Routes of the plugin 'palette'."}
    body = document["paths"]["/api/palette"]["post"]["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/palette.Draft"}
    draft = document["components"]["schemas"]["palette.Draft"]
    assert (draft["required"], draft["additionalProperties"]) == (["prompt"], False)
    assert draft["properties"]["marks"]["items"] == {"$ref": "#/components/schemas/palette.Mark"}


def test_the_document_says_when_an_answer_is_another(palette: Still) -> None:
    contract = Contract(palette.client.get("/api/openapi.json").json)
    sent = {"Content-Type": "application/vnd.api+json"}
    body = b'{"meta": {"params": {}}, "data": {"picture": "a", "size": "three"}}'
    found = list(deviations("GET", "/api/palette/a", 200, sent, body, contract))
    assert any("size" in line for line in found)
    assert any("order" in line for line in found)


def test_counts_have_room_for_so_many_routes(palette: Still, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin_routes, "NAMES", 2)
    for path in ("dot.png", "a", "who/am/i", "b", "who/am/i"):
        palette.client.get(f"/api/palette/{path}")
    metrics = palette.client.get("/metrics").body.decode()
    counted = re.findall(
        r'stretto_http_requests_total\{method="GET",route="(.+)",status="\d+"\} (.+)', metrics
    )
    own = {route.path for route in ROUTES}
    assert {route: float(count) for route, count in counted if route not in own} == {
        "/api/palette/dot.png": 1.0,
        "/api/palette/<picture>": 2.0,
        "other": 2.0,
    }


@pytest.mark.timeout(180)
@pytest.mark.parametrize("admin", [True, False], ids=["administrator", "stranger"])
def test_fuzzed_calls_are_answered_as_documented(palette: Still, admin: bool) -> None:
    first_administrator(palette.store.records, "enfugue")
    free = {("GET", "/api/palette/dot.png")}
    fuzz = Fuzz(
        still=palette,
        known={"picture": "a"},
        civitai_url="http://127.0.0.1:9",
        admin=admin,
        below="/api/palette",
        free=free,
    )
    palette.client.contract = None
    fuzz.run(["fuzzing"], 6)
    assert not fuzz.failures, fuzz.failures
    assert len({operation for operation, _ in fuzz.statuses}) == 7
    assert {status for _, status in fuzz.statuses} >= ({200, 400, 404} if admin else {200, 401})


def test_a_plugin_that_goes_takes_its_routes_along(
    plug: Callable[[str, str], Path], request: pytest.FixtureRequest
) -> None:
    plug("leaving", SLOW.replace("{0}", "leaving") + "\n@hookimpl\ndef host_started(host):\n    1 / 0\n")
    still: Still = request.getfixturevalue("still")
    assert still.client.get("/api/leaving/quick").data == 2
    assert "/api/leaving/quick" in still.client.get("/api/openapi.json").json["paths"]
    still.host.board.start()
    assert still.client.get("/api/leaving/quick").status == 404
    assert "/api/leaving/quick" not in still.client.get("/api/openapi.json").json["paths"]


def test_routes_come_and_go_with_plugins_that_are_switched(palette: Still, plugins_file: Path) -> None:
    client, path = palette.client, "/api/palette/dot.png"
    palette.host.reloading.change(Alteration(disable=["palette"]))
    assert client.get(path).status == 404
    assert path not in client.get("/api/openapi.json").json["paths"]
    palette.host.reloading.change(Alteration(enable=["palette"]))
    assert client.get(path).body == b"dot"
    before = plugins_file.read_text()
    plugins_file.write_text("[host]\nautoload = false\n")  # by somebody else, such as the command
    assert client.get(path).status == 404
    plugins_file.write_text(before)
    assert client.get(path).body == b"dot"
    assert path in client.get("/api/openapi.json").json["paths"]


@dataclass(frozen=True, slots=True)
class Hanging:
    still: Still
    folder: Path

    def begin(self, pool: ThreadPoolExecutor, count: int) -> list[Any]:
        def call() -> int:
            client = Client(self.still.client.port)
            try:
                return client.get("/api/slow/hang").status
            finally:
                client.close()

        begun = [pool.submit(call) for _ in range(count)]
        deadline = time.monotonic() + 30
        while (
            (self.folder / "hanging").stat().st_size < count if (self.folder / "hanging").exists() else True
        ):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return begun


@pytest.fixture
def hanging(
    plug: Callable[[str, str], Path], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Hanging]:
    for name in ("slow", "other"):
        plug(name, SLOW.replace("{0}", name))
    still: Still = request.getfixturevalue("still")
    yield Hanging(still, tmp_path)
    (tmp_path / "enough").touch()


def test_handlers_that_hang_leave_threads_to_everybody_else(hanging: Hanging) -> None:
    client = hanging.still.client
    with ThreadPoolExecutor(2) as pool:
        try:
            begun = hanging.begin(pool, 2)
            answer = client.get("/api/slow/quick")
            (said,) = details(answer, 503)
            assert said.startswith(
                "no thread is free for this route, as GET /api/slow/hang of the plugin 'slow' has had one for "
            )
            assert answer.headers["Retry-After"] == "5"
            assert client.get("/api/other/quick").data == 2
            assert client.get("/api").status == 200
        finally:
            (hanging.folder / "enough").touch()
        assert [one.result() for one in begun] == [200, 200]
    assert client.get("/api/slow/quick").data == 2


def test_many_quick_calls_at_once_are_all_answered(hanging: Hanging) -> None:
    def call(_number: int) -> int:
        client = Client(hanging.still.client.port)
        try:
            return client.get("/api/slow/quick").status
        finally:
            client.close()

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(call, range(48))) == {200}


def test_the_words_that_are_kept_from_plugins_are_the_hosts() -> None:
    own = {route.path.split("/")[2] for route in ROUTES if route.path.startswith("/api/")}
    assert own == OWN_WORDS, "name the first word of a new route in host/plugboard/reserved.py"


def test_a_route_that_cannot_be_served_makes_its_plugin_a_row_with_the_reason(
    plug: Callable[[str, str], Path], folders: Folders, plugins_file: Path
) -> None:
    spec = "RouteSpec(name='mine', method='GET', path='/api/models/mine', handle=print)"
    plug("wrong", f"{HEAD}\n@hookimpl\ndef register_routes(host):\n    return [{spec}]\n")
    with Host.open(folders, Settings(), plugins_file=plugins_file) as host:
        row = next(row for row in host.plugins() if row.name == "wrong")
        assert row.status == "broken"
        assert "all below /api/models is the host's own; begin with another word" in str(row.reason)
        assert "mine" not in host.offers("routes")


def test_two_plugins_with_one_method_and_path_clash(
    plug: Callable[[str, str], Path], folders: Folders, plugins_file: Path
) -> None:
    for name, part in (("ann", "a"), ("bob", "b")):
        spec = f"RouteSpec(name={name!r}, method='GET', path='/api/one/<{part}>', handle=print)"
        plug(name, f"{HEAD}\n@hookimpl\ndef register_routes(host):\n    return [{spec}]\n")
    with pytest.raises(PluginClashError) as raised, Host.open(folders, Settings(), plugins_file=plugins_file):
        pass
    said = str(raised.value)
    assert said.startswith("the plugins 'ann' (file ")
    assert " both offer the route 'GET /api/one/<name>'; turn one of them off" in said
    assert '\n  disable = ["ann"]\n  disable = ["bob"]\n' in said
