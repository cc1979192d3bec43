"""Building engines ahead: asked for, followed, stopped, and then drawn with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from ..client import Signed, Still

KEEPER = Path(__file__).parent.parent / "keeper.py"
PATH = "/api/models/mine/tensorrt"
BY_ONNX = {"acceleration": "onnxruntime"}
TOLD = {"tensorrt_build": {"model": "mine", "network": "unet"}}


@pytest.fixture
def plugins_file(tmp_path: Path) -> Path:
    file = tmp_path / "plugins.toml"
    file.write_text(f'[host]\nautoload = false\npaths = ["{KEEPER}"]\n')
    return file


def keep(still: Still, tiny: Path, **values: Any) -> None:
    shutil.copytree(tiny, still.folders.model_folder("diffusers") / "tiny")
    body = {"name": "mine", "checkpoint": "tiny", "size": 64, **values}
    assert still.client.post("/api/models", body).status == 200


def test_a_build_is_queued_followed_and_stopped_like_an_invocation(still: Still, tiny_sd1: Path) -> None:
    keep(still, tiny_sd1)
    client = still.client
    answer = client.post(f"{PATH}/UNet", BY_ONNX)
    ticket = answer.data
    uuid = ticket["uuid"]
    assert ticket == {"status": "queued", "uuid": uuid, "metadata": TOLD}
    assert answer.headers["Location"] == f"/api/invocation/{uuid}"
    assert client.get("/api/invocation").data == [ticket]
    assert client.get(f"/api/invocation/{uuid}").data == ticket
    job = still.host.builds.get(uuid)
    assert job is not None
    assert (job.plan.size, job.plan.model.name, job.network) == (64, "tiny", "unet")
    assert client.post("/api/invocation/stop", {"uuid": uuid}).status == 200
    assert client.get(f"/api/invocation/{uuid}").data == {
        "status": "error",
        "uuid": uuid,
        "message": "The invocation was terminated prematurely",
        "metadata": TOLD,
    }
    event = client.get(f"/api/invocation/{uuid}/events").body.decode().split("\n\n")[1].splitlines()
    assert event[:2] == ["id: 1", "event: error"]
    assert (
        json.loads(event[2].removeprefix("data: "))["message"] == "The invocation was terminated prematurely"
    )
    assert client.delete(f"/api/invocation/{uuid}").status == 200
    assert client.get(f"/api/invocation/{uuid}").status == 404
    controlled = client.post(f"{PATH}/controlled_unet?acceleration=onnxruntime").data
    assert controlled["metadata"]["tensorrt_build"]["network"] == "controlled_unet"
    assert client.delete(f"/api/invocation/{controlled['uuid']}").status == 200
    assert client.get("/api/invocation").data == []


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("mine/tensorrt/clip", {}, 400, "Unknown or unsupported network clip"),
        ("other/tensorrt/unet", {}, 404, "No model named other"),
        ("mine/tensorrt/unet", {"acceleration": "onyx"}, 400, "acceleration: "),
        ("mine/tensorrt/unet", {"acceleration": 1}, 400, "acceleration: "),
        ("mine/tensorrt/unet", {"acceleration": "none"}, 400, "acceleration: 'none' builds nothing"),
        ("mine/tensorrt/inpaint_unet", BY_ONNX, 400, "'tiny': there is no inpainting model for it here"),
    ],
)
def test_what_cannot_be_built_is_refused_before_any_queue(
    still: Still, tiny_sd1: Path, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    keep(still, tiny_sd1)
    answer = still.client.post(f"/api/models/{path}", body)
    assert answer.status == status
    assert answer.details[0].startswith(said)
    assert still.host.builds.all() == ()


def test_the_inpainting_models_unet_is_found_beside_the_model(
    still: Still, tiny_sd1: Path, tiny_inpainter: Path
) -> None:
    keep(still, tiny_sd1, acceleration="keeper", engine_profile="range")
    shutil.copytree(tiny_inpainter, still.folders.model_folder("diffusers") / "tiny-inpainting")
    job = still.host.builds.get(still.client.post(f"{PATH}/inpaint_unet").data["uuid"])
    assert job is not None
    assert job.plan.inpainter is not None
    # as the stored model has it
    assert (job.plan.builds[0].compiler, job.plan.builds[0].profile) == ("keeper", "range")
    assert (job.plan.inpainter.in_channels, job.plan.inpainter_size, job.network) == (9, 64, "inpaint_unet")


def test_users_see_and_stop_their_own_builds(signed: Signed, tiny_sd1: Path) -> None:
    shutil.copytree(tiny_sd1, signed.still.folders.model_folder("diffusers") / "tiny")
    signed.admin.post("/api/models", {"name": "mine", "checkpoint": "tiny", "size": 64})
    assert signed.ann.post(f"{PATH}/unet", BY_ONNX).status == 403
    uuid = signed.admin.post(f"{PATH}/unet", BY_ONNX).data["uuid"]
    assert signed.ann.get(f"/api/invocation/{uuid}").status == 404
    assert signed.ann.post("/api/invocation/stop", {"uuid": uuid}).status == 404
    assert signed.ann.get("/api/invocation").data == []
    assert [one["uuid"] for one in signed.admin.get("/api/invocation").data] == [uuid]


def test_what_a_picture_missed_is_built_beside_and_draws_the_next(still: Still, tiny_sd1: Path) -> None:
    keep(still, tiny_sd1)
    fine = shutil.copytree(tiny_sd1, still.folders.model_folder("diffusers") / "fine")
    (weights,) = (fine / "unet").glob("*.safetensors")
    save_file({name: tensor * 1.01 for name, tensor in load_file(weights).items()}, weights)
    still.host.start()
    client = still.client
    body = {
        "model": "mine", "refiner": "fine", "prompt": "a", "num_inference_steps": 2, "refiner_strength": 0.9,
        "seed": 1, "acceleration": "keeper",
    }  # fmt: skip

    def drawn(**asked: Any) -> dict[str, Any]:
        uuid = client.post("/api/invoke", {**body, **asked}).data["uuid"]
        client.wait(uuid, "completed")
        (row,) = client.get(f"/api/invocation-history?filter=id:{uuid}").data
        record: dict[str, Any] = row["attributes"]["plan"]["acceleration"]
        return record

    first = drawn(build_tensorrt=True)  # no other picture waits for it
    assert (first["requested"], first["used"]) == ("keeper", [])
    builds = {
        one["metadata"]["tensorrt_build"]["network"]: one["uuid"]
        for one in client.get("/api/invocation").data
        if "metadata" in one
    }
    assert list(builds) == ["unet", "vae_decoder", "vae_encoder", "refiner_unet"]  # one VAE serves both
    for network, uuid in builds.items():
        assert f"{network}: its engine is being built ({uuid})" in first["why"]
        assert "\nevent: completed\n" in client.get(f"/api/invocation/{uuid}/events").body.decode()
        built = client.get(f"/api/invocation/{uuid}").data
        assert (built["images"], built["progress"]) == (["unsaved"], 1)
        assert built["metadata"]["tensorrt_build"]["network"] == network
    assert drawn() == {"requested": "keeper", "used": ["unet", "vae_decoder", "vae_encoder"], "why": []}
    assert (
        len(still.host.builds.all()) == len(builds) + 2
    )  # the refiner's VAE was asked for as well, and was there
    assert [one["state"] for one in client.get("/api/tensorrt").data] == ["verified"] * 4
