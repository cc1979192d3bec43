"""The contract's examples, one file each: the curl command is run, and the answer held against the one there.

Same status, same keys in the same order, same types; what may differ is said in ANSWERS.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ..api.client import QUICK, Client, Process
from ..api.conformance import deviations

FOLDER = Path(__file__).with_name("examples")
ADDRESS = "http://127.0.0.1:45555"
TOKEN = "3a12f47da5da41c798ef0c60bbf00ce0"  # the example's
DONE, DELETED = "fb8cb1cede594ef2b7f5171bc5fc47dd", "4547f0f712084414940006bc1fbfb8b2"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the examples call curl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    name: str
    commands: tuple[str, ...]
    answer: Any


def read(file: Path) -> Example:
    lines = file.read_text(encoding="utf-8").splitlines()
    commands = tuple(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    rest = "\n".join(line for line in lines if not line.startswith("$ "))
    return Example(
        name=file.stem.partition("-")[2],
        commands=commands,
        answer=json.loads(rest) if rest.startswith("{") else rest,
    )


EXAMPLES = {example.name: example for example in map(read, sorted(FOLDER.glob("*.txt")))}
# with a worker; the others run on a server that asks for tokens
DRAWN = {"get-invocation-history", "delete-invocation", "post-invoke", "get-invocation", "get-image"}
# Paths at which more keys are there than in the example, and at which null stands for a value or the other way round.
MORE = {
    "data",  # settings of ours
    "data[].attributes.plan",
    "",  # users: `data` at the top level too, where the envelope has it
}
NULL = re.compile(r"data\.gpu|data\[\]\.attributes\.plan\..*|data\.attributes\.(first|last)_name")


def misfits(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Say where an answer is not of the example's shape."""
    if (expected is None or found is None) and (expected is found or NULL.fullmatch(path)):
        return
    if isinstance(expected, dict) and isinstance(found, dict):
        known = [key for key in found if key in expected] if path in MORE else list(found)
        if path.endswith("nodes[]"):  # in an order of its own, with keys of ours
            known = [key for key in expected if key in found]
        if known != list(expected):
            yield f"{path}: keys {list(found)}, expected {list(expected)}"
        for key in expected.keys() & found.keys():
            yield from misfits(expected[key], found[key], f"{path}.{key}".removeprefix("."))
    elif isinstance(expected, list) and isinstance(found, list):
        if expected and not found and not NULL.fullmatch(path):
            yield f"{path}: an empty list"
        for item in found if expected else ():
            yield from misfits(expected[0], item, f"{path}[]")
    elif kind(expected) is not kind(found):
        yield f"{path}: {found!r}, expected one like {expected!r}"


def kind(value: Any) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def status_of(name: str) -> int:
    return 401 if name == "get-api-without-token" else 200


def call_of(example: Example) -> tuple[str, str]:
    """Give the method and the path, with its query, of an example's first command."""
    command = example.commands[0]
    method = re.search(r"-X (\w+)", command)
    url = re.search(rf"{ADDRESS}(\S+)", command)
    assert url is not None
    return method[1] if method else "POST" if " -d " in command else "GET", url[1].replace("\\", "")


def run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def replay(example: Example, client: Client, folder: Path, names: dict[str, str]) -> tuple[int, Any]:
    command = example.commands[0].replace(ADDRESS, f"http://127.0.0.1:{client.port}")
    for old, new in names.items():
        command = command.replace(old, new)
    options = "-s -w '\\n%{http_code} %{content_type}'"
    if client.token and example.name not in ("get-api", "get-api-without-token", "post-login"):
        options += f" -H 'Authorization: Bearer {client.token}'"
    body, _, told = run(command.replace("curl", f"curl {options}", 1), folder).rpartition("\n")
    status, _, media_type = told.partition(" ")
    method, path = call_of(example)
    found = deviations(method, path, int(status), {"Content-Type": media_type}, body.encode())
    assert list(found) == []
    return int(status), json.loads(body)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server that asks for tokens, with what the examples find there."""
    made = Process(tmp_path_factory.mktemp("examples"), ("--auth",))
    for folder, name in [("checkpoint", "15-get-checkpoints"), ("lora", "16-get-lora"), ("lycoris", "17-get-lycoris"),
                         ("inversion", "18-get-inversions")]:  # fmt: skip
        place = made.data / "models" / folder
        place.mkdir(parents=True)
        for file in read(FOLDER / f"{name}.txt").answer["data"]:
            (place / file).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRETTO_ADMIN_PASSWORD", "enfugue")
        made.start()
    login = {"username": "enfugue", "password": "enfugue"}
    made.client.token = made.client.post("/api/login", login).data["attributes"]["access_token"]
    yield made
    made.stop()


def body_of(name: str) -> Any:
    found = re.search(r"-d '(.*?)' ", EXAMPLES[name].commands[0])
    assert found is not None
    return json.loads(found[1])


def no_user(client: Client) -> None:
    client.delete("/api/users/myuser")


def a_user(client: Client) -> None:
    no_user(client)
    client.post("/api/users", body_of("post-users"))


def no_model(client: Client) -> None:
    client.delete("/api/models/My%20Model")


def a_model(client: Client) -> None:
    no_model(client)
    client.post("/api/models", body_of("post-models"))


def models(client: Client) -> None:
    no_model(client)
    for name in ("Realistic Vision", "SDXL"):
        client.delete(f"/api/models/{name.replace(' ', '%20')}")
    for row in EXAMPLES["get-models"].answer["data"]:
        attributes = row["attributes"]
        client.post("/api/models", {**attributes, "checkpoint": attributes["model"]})
    change = {"vae": "xl16", "refiner": "sd_xl_refiner_1.0.safetensors", "refiner_size": 1024}
    change |= {"guidance_scale": 5, "width": 1024, "height": 1024}
    client.call("PATCH", "/api/models/SDXL", change)


def default_settings(client: Client) -> None:
    client.post("/api/settings", {"cache_mode": "xl"})


PREPARED: dict[str, Callable[[Client], None]] = {
    "get-users": no_user,
    "post-users": no_user,
    "patch-user": a_user,
    "delete-user": a_user,
    "get-models": models,
    "get-model-with-includes": models,
    "post-models": no_model,
    "patch-model": a_model,
    "delete-model": a_model,
    "get-settings": default_settings,
    "post-settings": default_settings,
}
# Here every value is the example's.
LITERAL = {
    "get-api-without-token", "post-users", "patch-user", "delete-user", "get-models", "get-model-with-includes",
    "post-models", "patch-model", "delete-model", "get-lora", "get-lycoris", "get-inversions",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in DRAWN])
def test_an_example(kept, tmp_path, name):
    example = deepcopy(EXAMPLES[name])
    PREPARED.get(name, lambda _client: None)(kept.client)
    status, found = replay(example, kept.client, tmp_path, {TOKEN: kept.client.token})
    assert status == status_of(name)
    assert list(misfits(example.answer, found)) == []
    if name in LITERAL:
        if name in ("post-users", "patch-user"):
            for row in (example.answer["meta"]["data"], found["meta"]["data"], found["data"]):
                row["attributes"].pop("id")
            assert found.pop("data") == found["meta"]["data"]
        assert found == example.answer


def test_checkpoints_are_the_examples(kept, tmp_path):
    _, found = replay(EXAMPLES["get-checkpoints"], kept.client, tmp_path, {})
    assert set(EXAMPLES["get-checkpoints"].answer["data"]) <= set(found["data"])


def test_settings_are_the_examples(kept, tmp_path):
    for name in ("get-settings", "post-settings"):
        default_settings(kept.client)
        _, found = replay(EXAMPLES[name], kept.client, tmp_path, {})
        expected = {**EXAMPLES[name].answer["data"], "auth": True}
        assert {key: found["data"][key] for key in expected} == expected
    default_settings(kept.client)


@pytest.mark.parametrize("name", sorted(DRAWN - {"post-invoke", "get-image"}))
def test_an_example_of_invocations(process, invoked, tmp_path, name):
    example, client = EXAMPLES[name], process.client
    names = {DONE: invoked}
    if name == "delete-invocation":
        names[DELETED] = client.post("/api/invoke", QUICK).data["uuid"]
    status, found = replay(example, client, tmp_path, names)
    assert status == 200
    assert list(misfits(example.answer, found)) == []
    if name == "delete-invocation":
        assert found == example.answer
    if name == "get-invocation":
        data = {**example.answer["data"], "uuid": invoked, "images": [f"images/{invoked}_0.png"]}
        varying = ("id", "duration", "rate")
        assert {**found["data"], **{key: data[key] for key in varying}} == data


def test_the_example_of_invoking(process, tmp_path):
    """The example's job is at work at once; ours is on the disk, and says so with the contract's two keys."""
    client, example = process.client, EXAMPLES["post-invoke"]
    status, found = replay(example, client, tmp_path, {'"}': '", "num_inference_steps": 200}'})
    assert status == 200
    assert found == {"meta": {"params": {}}, "data": {"status": "queued", "uuid": found["data"]["uuid"]}}
    uuid = found["data"]["uuid"]
    seen = client.wait(uuid, "processing")
    assert list(seen)[:9] == list(example.answer["data"])
    assert (seen["uuid"], seen["status"]) == (uuid, "processing")
    client.delete(f"/api/invocation/{uuid}")


def test_the_example_of_an_image(process, invoked, tmp_path):
    command = EXAMPLES["get-image"].commands[0]
    run(command.replace("curl", "curl -sf").replace(DONE, invoked).replace(ADDRESS, f"http://127.0.0.1:{process.client.port}"), tmp_path)  # fmt: skip
    with Image.open(tmp_path / "myfile.png") as image:
        assert (image.format, image.mode) == ("PNG", "RGB")


def test_every_example_is_replayed():
    assert len(EXAMPLES) == 23
    assert set(PREPARED) | LITERAL | DRAWN <= set(EXAMPLES)
    assert all(example.commands for example in EXAMPLES.values())
