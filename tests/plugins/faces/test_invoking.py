"""`gfpgan` from a request to a picture: planned with all its files, recorded, drawn, and found again."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest
from stretto.host.errors import InvalidRequestError, WeightsError
from stretto.host.planning.replay import found_again
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.fixtures import tiny_sd1  # noqa: F401


@pytest.fixture
def host(tmp_path, monkeypatch, tiny_sd1):  # noqa: F811
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    folders = Folders(tmp_path)
    folders.create()
    shutil.copytree(tiny_sd1, folders.model_folder("diffusers") / "one")
    with Host.open(folders, Settings(model="one", precision="float32")) as opened:
        yield opened


ASKED = InvocationRequest(
    prompt="a face", width=64, height=64, size=64, num_inference_steps=1, seed=3, intermediates=False,
    outscale=2, upscale=("gfpgan",),
)  # fmt: skip


def test_what_is_missing_is_said_with_folder_and_commands(host, shelf):
    folder = host.folders.model_folder("upscaler")
    with pytest.raises(InvalidRequestError) as caught:
        host.plan(ASKED)
    (fault,) = caught.value.faults
    assert fault.field == "upscale"
    assert fault.message.startswith("'gfpgan' needs its weights; put GFPGANv1.4.pth or GFPGANv1.3.pth or ")
    for name in ("GFPGANv1.4", "detection_Resnet50_Final", "parsing_parsenet", "RealESRGAN_x4plus"):
        assert f"curl --location --output '{folder / name}.pth' https://github.com/" in fault.message
    for path in shelf.iterdir():
        if not path.name.startswith("parsing"):
            shutil.copy(path, folder)
    with pytest.raises(InvalidRequestError) as caught:
        host.plan(ASKED)
    assert str(caught.value).startswith(
        f"upscale: 'gfpgan' needs its weights; put parsing_parsenet.pth into {folder}, for instance by: curl "
    )


def test_a_request_is_drawn_and_its_plan_found_again(host, shelf):
    folder = host.folders.model_folder("upscaler")
    for path in shelf.iterdir():
        shutil.copy(path, folder)
    plan = host.plan(ASKED)
    (stage,) = plan.upscale
    assert [file.name for file in (stage.weights, *stage.beside)] == [
        "GFPGANv1.4.pth", "detection_Resnet50_Final.pth", "parsing_parsenet.safetensors", "RealESRGAN_x4plus.pth",
    ]  # fmt: skip
    done = host.run_here(plan, lambda _: None)
    again = found_again(plan_from_json(plan.to_json()), host)
    assert again == plan
    (folder / "RealESRGAN_x4plus.pth").write_bytes(b"another")
    with pytest.raises(WeightsError, match=r"RealESRGAN_x4plus\.pth is not the"):
        found_again(plan, host)
    with Image.open(host.folders.images / done.images[0]) as picture:
        assert picture.size == (128, 128)
