"""Refining over HTTP: the same as image-to-image over the finished picture, and as handing it over."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from ..api.client import QUICK

SAME = {**QUICK, "num_inference_steps": 4, "seed": 3, "width": 128, "height": 128}


def drawn(client, **body):
    uuid = client.post("/api/invoke", {**SAME, **body}).data["uuid"]
    done = client.wait(uuid, "completed")
    data = client.call("GET", f"/api/invocation/{done['images'][0]}").body
    (row,) = client.call("GET", f"/api/invocation-history/{uuid}").data
    return data, row["attributes"]["plan"]


def pixels(data):
    return np.asarray(Image.open(BytesIO(data)))


def test_a_finished_picture_is_drawn_over(client):
    first, _ = drawn(client)
    refined, plan = drawn(client, refiner="starter", refiner_strength=0.5, refiner_guidance_scale=4.0)
    assert (plan["refiner"], plan["refiner_size"]) == ("starter", 128)
    assert plan["nodes"][0]["refiner_strength"] == 0.5
    uri = "data:image/png;base64," + base64.b64encode(first).decode()
    again, _ = drawn(client, image=uri, strength=0.5, guidance_scale=4.0)
    assert (pixels(refined) == pixels(again)).all()
    assert (pixels(refined) != pixels(first)).any()


def test_a_model_that_hands_over_to_itself_draws_as_alone(client):
    alone, _ = drawn(client, guidance_scale=5.0, scheduler="ddim")
    handed, plan = drawn(client, guidance_scale=5.0, scheduler="ddim", refiner="starter", refiner_start=0.5)
    assert plan["nodes"][0]["refiner_start"] == 0.5
    assert (pixels(handed) == pixels(alone)).all()


def test_faults_of_refining(client):
    answer = client.post("/api/invoke", {**SAME, "refiner": "nobody", "refiner_strength": 2})
    assert answer.status == 400
    assert "refiner_strength" in answer.body.decode()
    answer = client.post("/api/invoke", {**SAME, "refiner": "nobody"})
    assert answer.status == 400
    assert "refiner: " in answer.body.decode()
