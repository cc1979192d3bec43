"""Images and masks as data URIs over HTTP: what was not masked comes back as it was sent."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from ..api.client import QUICK


def data_uri(image):
    data = BytesIO()
    image.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def picture():
    rows, columns = np.mgrid[0:128, 0:128]
    return Image.fromarray(np.stack([rows * 2, columns * 2, 255 - rows], axis=-1).astype(np.uint8))


def half():
    mask = Image.new("L", (128, 128))
    mask.paste(255, (0, 0, 64, 128))
    return mask


def test_a_mask_over_http(client):
    body = {
        **QUICK,
        "image": data_uri(picture()),
        "mask": data_uri(half()),
        "strength": 1.0,
        "width": 128,
        "height": 128,
    }
    uuid = client.post("/api/invoke", body).data["uuid"]
    done = client.wait(uuid, "completed")
    answer = client.call("GET", f"/api/invocation/{done['images'][0]}")
    drawn = np.asarray(Image.open(BytesIO(answer.body)))
    sent = np.asarray(picture())
    assert (drawn[:, 64:] == sent[:, 64:]).all()
    assert (drawn[:, :64] != sent[:, :64]).any()
    (row,) = client.call("GET", f"/api/invocation-history/{uuid}").data
    (node,) = row["attributes"]["plan"]["nodes"]
    assert (node["mask"]["width"], node["mask"]["height"], node["mask"]["mode"]) == (128, 128, "L")


def test_faults_of_masks(client):
    body = {"prompt": "x", "mask": data_uri(half())}
    answer = client.post("/api/invoke", body)
    assert answer.status == 400
    assert answer.json["errors"][0]["detail"].startswith("mask: there is no image")
