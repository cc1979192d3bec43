"""The wire rules that hold for every route."""

from __future__ import annotations

import json
import logging

import pytest
from stretto.api.routing import Route
from stretto.host.errors import UnsupportedError

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD",
    "Access-Control-Allow-Headers": (
        "Origin,X-Requested-Width,Content-Type,Accept,Authorization,X-CSRFToken,X-API-Key"
    ),
}


def assert_wire(answer, status):
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/vnd.api+json"
    assert {name: answer.headers[name] for name in CORS} == CORS


def test_success_has_meta_and_data(still):
    answer = still.client.get("/api/settings?limit=1&limit=2&word=r%C3%A9l&empty=")
    assert_wire(answer, 200)
    assert set(answer.json) == {"meta", "data"}
    assert answer.json["meta"] == {"params": {"limit": ["1", "2"], "word": ["rél"], "empty": [""]}}


@pytest.mark.parametrize("path", ["/api", "/api/", "/api//"])
def test_trailing_slashes_are_stripped(still, path):
    assert still.client.get(path).data["status"] == "idle"


def test_post_with_a_trailing_slash(still):
    assert still.client.post("/api/settings/", {"cache_mode": None}).data["cache_mode"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/settings"), ("GET", "/api/mod%20els"), ("PATCH", "/"), ("DELETE", "/api")],
)
def test_no_route_and_wrong_method_are_404(still, method, path):
    answer = still.client.call(method, path + "?x=1")
    assert_wire(answer, 404)
    assert answer.json == {
        "errors": [{
            "status": "404",
            "title": "NotFoundError",
            "detail": f"No handler found matching method {method} and path {path}.",
        }]
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/api/invoke", "/nowhere/at/all", "/"])
def test_options_on_any_path(still, path):
    answer = still.client.call("OPTIONS", path)
    assert_wire(answer, 200)
    assert answer.body == b""


@pytest.mark.parametrize("path", ["/api/settings", "/api/nowhere"])
def test_head_is_get_without_a_body(still, path):
    got, head = still.client.get(path), still.client.call("HEAD", path)
    assert_wire(head, got.status)
    assert head.body == b""
    if got.status == 200:
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize("token", ["Bearer ", "Bearer deadbeef", "Basic x", ""])
def test_any_token_will_do_without_authentication(still, token):
    assert still.client.call("GET", "/api/settings", headers={"Authorization": token}).status == 200


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "application/vnd.api+json", "application/x-www-form-urlencoded", "text/plain", "x"],
)
def test_content_type_of_a_body_is_ignored(still, media_type):
    answer = still.client.call("POST", "/api/settings", {"model": "starter"}, {"Content-Type": media_type})
    assert answer.data["model"] == "starter"


@pytest.mark.parametrize(
    "body",
    [
        b"not json",
        b"[1]",
        b'"text"',
        b"null",
        b'{"prompt": NaN}',
        b'{"seed": Infinity}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"seed": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe{}",
        b'{"prompt": "\xff"}',
    ],
)
def test_what_is_no_json_object_is_400(still, body):
    answer = still.client.post("/api/invoke", body)
    assert_wire(answer, 400)
    assert answer.json["errors"][0]["title"] == "BadRequestError"
    assert answer.details[0].startswith("The body ")
    assert len(answer.details[0]) < 400


def test_too_many_query_fields(still):
    assert_wire(still.client.get("/api?" + "&".join(f"a{i}=1" for i in range(2000))), 400)


def explode(_call):
    raise RuntimeError("wires crossed")


def decline(_call):
    raise UnsupportedError("not here")


@pytest.fixture
def more_routes(monkeypatch):
    routes = (Route("GET", "/api/explode", explode), Route("GET", "/api/decline", decline))
    monkeypatch.setattr("stretto.api.app.ROUTES", routes)


@pytest.mark.usefixtures("more_routes")
class TestErrors:
    @pytest.fixture(autouse=True)
    def _client(self, request):
        request.getfixturevalue("more_routes")  # before the application is made
        self.client = request.getfixturevalue("still").client

    def test_unexpected_errors_are_500_and_logged(self, caplog):
        with caplog.at_level(logging.ERROR, "stretto.api.app"):
            answer = self.client.get("/api/explode")
        assert_wire(answer, 500)
        assert answer.json == {
            "errors": [{"status": "500", "title": "RuntimeError", "detail": "wires crossed"}]
        }
        assert "wires crossed" in caplog.text
        assert "Traceback" in caplog.text

    def test_own_errors_keep_title_and_status(self):
        answer = self.client.get("/api/decline")
        assert_wire(answer, 501)
        assert json.loads(answer.body)["errors"][0]["title"] == "NotImplementedError"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"prompt": "\\ud83d"}', "prompt"),
        (b'{"prompt": "\xed\xa0\x80"}', "prompt"),
        (b'{"image": "\\udc00"}', "image"),
        (b'{"scheduler": "\\udc00"}', "scheduler"),
        (b'{"nodes": [{"w": 8}, {"prompt": ["x", "\\ud800"]}]}', "nodes[1].prompt[1]"),
        (b'{"a\\ud800": 1}', "a?"),
    ],
)
def test_half_a_character_is_400(still, body, field):
    answer = still.client.post("/api/invoke", body)
    assert_wire(answer, 400)
    assert answer.json["errors"][0]["detail"].startswith(f"{field}: U+D")


def test_whole_characters_may_be_written_as_two_halves(still):
    assert still.client.post("/api/invoke", b'{"prompt": "\\ud83d\\udc08"}').status == 200


@pytest.mark.parametrize("path", ["/api/invocation/%ed%a0%80", "/api/%ff", "/api/models/a%c3", "/%80/api"])
def test_a_path_that_is_no_text_is_for_nobody(still, path):
    answer = still.client.get(path)
    assert_wire(answer, 404)
    assert answer.details == [f"No handler found matching method GET and path {path}."]
    assert still.client.call("OPTIONS", path).status == 200
