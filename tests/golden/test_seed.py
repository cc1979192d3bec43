"""The seed document's examples of this slice, replayed with curl's Content-Type.

Numbers that depend on machine and model are compared by type, everything else as it stands.
"""

from __future__ import annotations

import re
import time
from io import BytesIO

import pytest
from PIL import Image

from ..api.client import QUICK

HEX = re.compile(r"[0-9a-f]{32}")
LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
PLAN_KEYS = [
    "model",
    "refiner",
    "inpainter",
    "lora",
    "lycoris",
    "inversion",
    "scheduler",
    "multi_scheduler",
    "vae",
    "width",
    "height",
    "size",
    "inpainter_size",
    "refiner_size",
    "seed",
    "prompt",
    "negative_prompt",
    "image",
    "image_callback_steps",
    "nodes",
    "samples",
    "upscale",
    "chunking_size",
    "chunking_blur",
    "build_tensorrt",
]
NODE_KEYS = [
    "width",
    "height",
    "prompt",
    "negative_prompt",
    "controlnet",
    "conditioning_scale",
    "strength",
    "num_inference_steps",
    "guidance_scale",
    "remove_background",
    "scale_to_model_size",
    "image",
    "mask",
    "control_image",
    "children",
    "bounds",
]


def test_get_api(client):
    answer = client.call("GET", "/api", headers={"Authorization": "Bearer 3a12f47da5da41c798ef0c60bbf00ce0"})
    assert answer.json["meta"] == {"params": {}}
    data = answer.data
    assert data["status"] in {"idle", "ready", "busy"}
    assert set(data["system"]["downloads"]) == {"active", "queued", "total"}
    assert isinstance(data["system"]["invocations"]["active"], bool)
    assert isinstance(data["system"]["invocations"]["queued"], int)
    assert isinstance(data["uptime"], float)
    if data["gpu"] is not None:
        assert set(data["gpu"]) == {"driver", "name", "load", "temp", "memory"}
        assert set(data["gpu"]["memory"]) == {"free", "total", "used", "util"}


def test_post_invoke_and_get_invocation(client, invoked):
    assert HEX.fullmatch(invoked)
    answer = client.get(f"/api/invocation/{invoked}")
    assert answer.json["meta"] == {"params": {}}
    data = answer.data
    assert list(data) == ["id", "uuid", "status", "progress", "step", "duration", "total", "images", "rate"]
    assert data["id"] >= 1
    assert data["uuid"] == invoked
    assert data["status"] == "completed"
    assert (data["progress"], data["step"], data["total"]) == (1, 45, 45)  # the seed's numbers
    assert data["images"] == [f"images/{invoked}_0.png"]
    assert data["duration"] > 0
    assert data["rate"] > 0


def test_get_invocation_image(client, invoked):
    answer = client.get(f"/api/invocation/images/{invoked}_0.png")
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "max-age=31536000"
    assert answer.headers["Content-Disposition"] == f'inline; filename="{invoked}_0.png"'
    with Image.open(BytesIO(answer.body)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (128, 128))
    small = client.get(f"/api/invocation/thumbnails/{invoked}_0.png")
    with Image.open(BytesIO(small.body)) as image:
        assert image.height == 200


def test_get_invocation_history(client, invoked):
    answer = client.get("/api/invocation-history?limit=1")
    assert answer.json["meta"]["params"] == {"limit": ["1"]}
    assert answer.json["meta"]["count"] >= 1
    (entry,) = answer.data
    assert entry["type"] == "DiffusionInvocation"
    (entry,) = client.get(f"/api/invocation-history/{invoked}").data
    attributes = entry["attributes"]
    assert list(attributes) == ["duration", "error", "id", "outputs", "plan", "started", "user_id"]
    assert (attributes["error"], attributes["outputs"], attributes["user_id"]) == (None, 1, 0)
    assert LOCAL_TIME.fullmatch(attributes["started"])
    plan = attributes["plan"]
    assert [key for key in plan if key in PLAN_KEYS] == PLAN_KEYS
    assert plan["prompt"] == "Hello, world!"
    (node,) = plan["nodes"]
    assert set(NODE_KEYS) <= set(node)
    assert node["bounds"] == [[0, 0], [plan["width"], plan["height"]]]
    assert (node["num_inference_steps"], node["guidance_scale"]) == (40, 7)  # the seed's text


def test_delete_invocation(client, process):
    uuid = client.post("/api/invoke", QUICK).data["uuid"]
    client.wait(uuid, "completed")
    assert list((process.data / "images").glob(f"{uuid}*"))
    answer = client.delete(f"/api/invocation/{uuid}")
    assert answer.json == {"meta": {"params": {}}, "data": None}
    assert not list((process.data / "images").glob(f"{uuid}*"))
    assert client.get(f"/api/invocation/{uuid}").status == 404


@pytest.mark.parametrize("kind", ["checkpoints", "lora", "lycoris", "inversion", "inversions"])
def test_get_lists(client, kind):
    answer = client.get(f"/api/{kind}")
    assert answer.json["meta"] == {"params": {}}
    assert all(isinstance(name, str) for name in answer.data)


def test_get_and_post_settings(another):
    client = another.client  # a change of cache_mode means a new worker
    before = client.get("/api/settings").data
    seed = {
        "safe": False,
        "auth": False,
        "max_queued_invocations": 4,
        "max_queued_downloads": 10,
        "max_concurrent_downloads": 2,
        "switch_mode": "offload",
        "cache_mode": "xl",
        "precision": None,
    }
    assert {name: before[name] for name in seed} == seed
    after = client.post("/api/settings", b'{"cache_mode": null}').data
    assert after == {**before, "cache_mode": None}
    assert client.post("/api/settings/", {"cache_mode": "xl"}).data == before


def test_stop_ends_the_active_invocation_and_the_queue_goes_on(client):
    first = client.post("/api/invoke", {**QUICK, "num_inference_steps": 900}).data["uuid"]
    second = client.post("/api/invoke", QUICK).data["uuid"]
    client.wait(first, "processing")
    began = time.monotonic()
    assert client.post("/api/invocation/stop").json == {"meta": {"params": {}}, "data": None}
    assert time.monotonic() - began < 12
    stopped = client.get(f"/api/invocation/{first}").data
    assert stopped == {
        "status": "error",
        "uuid": first,
        "message": "The invocation was terminated prematurely",
    }
    assert client.wait(second, "completed")["progress"] == 1


def test_a_running_invocation_can_be_deleted(client, process):
    uuid = client.post("/api/invoke", {**QUICK, "num_inference_steps": 900}).data["uuid"]
    client.wait(uuid, "processing")
    assert client.delete(f"/api/invocation/{uuid}").status == 200
    assert client.get(f"/api/invocation/{uuid}").status == 404
    assert not list((process.data / "images").glob(f"{uuid}*"))


def test_the_same_plan_gives_the_same_picture(client):
    pictures = []
    for _ in range(2):
        uuid = client.post("/api/invoke", QUICK).data["uuid"]
        client.wait(uuid, "completed")
        with Image.open(BytesIO(client.get(f"/api/invocation/images/{uuid}_0.png").body)) as image:
            pictures.append(image.tobytes())
    assert pictures[0] == pictures[1]
