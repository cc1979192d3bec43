"""ControlNets over HTTP and on the command line: files put into a folder, pictures out of them."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw
from stretto.api.cli.main import run
from stretto.host.testing.controls import make_tiny_controlnet
from stretto.host.testing.fixtures import starter_path  # noqa: F401

from ..api.client import QUICK
from .test_images import data_uri

NAMES = ("control_v11p_sd15_canny", "control_v11f1e_sd15_tile")


def drawing(radius=40):
    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((64 - radius, 64 - radius, 64 + radius, 64 + radius), fill="red")
    return image


def drawn(client, **changes):
    uuid = client.post("/api/invoke", {**QUICK, "seed": 3, **changes}).data["uuid"]
    done = client.wait(uuid, "completed")
    answer = client.call("GET", f"/api/invocation/{done['images'][0]}")
    (row,) = client.call("GET", f"/api/invocation-history/{uuid}").data
    return np.asarray(Image.open(BytesIO(answer.body)), np.int16), row["attributes"]["plan"]


def test_controlnets_over_http(process, client, starter_path):  # noqa: F811
    folder = process.data / "models" / "controlnet"
    for seed, name in enumerate(NAMES):
        make_tiny_controlnet(folder / name, starter_path, seed=seed)
    plain, _ = drawn(client)
    one, plan = drawn(client, controlnet="tile", control_image=data_uri(drawing()))
    assert np.abs(one - plain).max() > 2
    (node,) = plan["nodes"]
    assert (node["controlnet"], node["conditioning_scale"]) == ("tile", 1.0)
    assert (node["control_image"]["width"], node["control_image"]["mode"]) == (128, "RGB")
    listed = [
        {"controlnet": "tile", "image": data_uri(drawing()), "scale": 0.5, "end": 0.6},
        {"controlnet": NAMES[0], "image": data_uri(drawing(30)), "start": 0.2},
    ]
    two, plan = drawn(client, controlnet=listed)
    assert np.abs(two - one).max() > 2
    assert plan["nodes"][0]["controlnet"] == ["tile", NAMES[0]]
    assert plan["nodes"][0]["conditioning_scale"] == [0.5, 1.0]


def test_missing_weights_over_http(client):
    answer = client.post("/api/invoke", {**QUICK, "controlnet": "mlsd", "control_image": data_uri(drawing())})
    assert answer.status == 400
    said = " ".join(error["detail"] for error in answer.json["errors"])
    for words in (
        "control_v11p_sd15_mlsd.pth",
        "models/controlnet",
        "mlsd_large_512_fp32.pth",
        "curl --location",
    ):
        assert words in said


@pytest.mark.usefixtures("starter_path")
def test_on_the_command_line(tmp_path, monkeypatch, capsys, starter_path):  # noqa: F811
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    make_tiny_controlnet(tmp_path / "data" / "models" / "controlnet" / "mine", starter_path)
    drawing().save(tmp_path / "circle.png")
    asked = ["controlnet=mine", f"control_image={tmp_path / 'circle.png'}", "num_inference_steps=2"]
    assert run(["invoke", "a red circle", "--json", *(word for one in asked for word in ("--set", one))]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["plan"]["nodes"][0]["controlnet"] == "mine"
    assert Image.open(made["images"][0]).size == (128, 128)
