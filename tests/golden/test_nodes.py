"""Nodes over HTTP: the contract's example in the starter's size, its record, and its faults."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from ..api.client import QUICK
from .test_images import data_uri

CAT = {
    "x": 0,
    "y": 0,
    "w": 128,
    "h": 128,
    "prompt": "A cat sleeping peacefully on a rug",
    "inference_steps": 2,
}


def test_nodes_over_http(client):
    laid = Image.new("RGB", (48, 48), (200, 30, 30))
    nodes = [
        CAT,
        {"x": 168, "y": 40, "image": data_uri(laid)},
        {"x": 900, "w": 8, "h": 8, "prompt": "nowhere"},
    ]
    asked = {
        **QUICK,
        "width": 256,
        "height": 128,
        "prompt": "A rug",
        "negative_prompt": "red",
        "nodes": nodes,
    }
    uuid = client.post("/api/invoke", asked).data["uuid"]
    done = client.wait(uuid, "completed")
    assert done["step"] == done["total"]
    picture = Image.open(BytesIO(client.call("GET", f"/api/invocation/{done['images'][0]}").body))
    assert (picture.mode, picture.size) == ("RGB", (256, 128))
    assert picture.crop((168, 40, 216, 88)).tobytes() == laid.tobytes()
    (row,) = client.call("GET", f"/api/invocation-history/{uuid}").data
    plan = row["attributes"]["plan"]
    cat, image = plan["nodes"]
    assert (cat["prompt"], cat["negative_prompt"]) == (CAT["prompt"], "red")
    assert (cat["num_inference_steps"], cat["children"]) == (2, [])
    assert cat["bounds"] == [[0, 0], [128, 128]]
    assert image["bounds"] == [[168, 40], [216, 88]]
    assert (image["image"]["width"], image["image"]["mode"]) == (48, "RGB")
    assert plan["prompt"] == "A rug"
    assert plan["resolved"]["remainder"]["node"]["prompt"] == "A rug"


def test_every_fault_of_the_nodes_at_once(client):
    nodes = [{"prompt": "a"}, {**CAT, "w": 0}, {"w": 8, "h": 8, "inpaint": True, "prompt": "b"}]
    answer = client.post("/api/invoke", {**QUICK, "nodes": nodes})
    assert answer.status == 400
    said = " ".join(error["detail"] for error in answer.json["errors"])
    for words in (
        "nodes[0].w: Node 0 missing width, pass 'w' or an image",
        "nodes[0].h: Node 0 missing height, pass 'h' or an image",
        "nodes[1].w: 0 is not a whole number from 1 to 16384",
        "nodes[2].inpaint: there is no image that it would be for",
    ):
        assert words in said


def test_a_fault_of_a_value_hides_none_of_meaning(client):
    nodes = [{**CAT, "strength": "much"}, {"w": 8, "prompt": "b"}]
    answer = client.post("/api/invoke", {**QUICK, "nodes": nodes, "scheduler": "zz", "samples": 0})
    said = "; ".join(error["detail"] for error in answer.json["errors"])
    fields = {fault.partition(":")[0] for fault in said.split("; ")}
    assert {"nodes[0].strength", "nodes[1].h", "scheduler", "samples"} <= fields
    assert not any(field.startswith("nodes[0].") for field in fields - {"nodes[0].strength"})
