"""Stored models: all that hangs on them, partial changes, and invoking by their name."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from ..client import QUICK

pytestmark = pytest.mark.both_databases

PATH = "/api/models"
FULL = {
    "name": "SDXL",
    "checkpoint": "sd_xl_base_1.0.safetensors",
    "size": 1024,
    "prompt": "RAW photo, 4k",
    "negative_prompt": "N",  # text stays text
    "refiner": "sd_xl_refiner_1.0.safetensors",
    "refiner_size": 1024,
    "inpainter": "xl-inpainting.safetensors",
    "scheduler": "ddim",
    "multi_scheduler": "eds",
    "vae": "xl16",
    "lora": [{"model": "a.safetensors", "weight": 0.5}, "b.safetensors"],
    "lycoris": {"model": "c.safetensors"},
    "inversion": ["EasyNegativeV2.safetensors"],
    "width": 1024,
    "height": "1024",
    "guidance_scale": 5,
    "chunking_size": 0,
    "refiner_denoising_strength": 0.2,
    "bogus": "ignored",
}
NAMES = ["refiner", "inpainter", "scheduler", "lora", "lycoris", "inversion", "vae", "config"]
ALL = "&".join(f"include={name}" for name in NAMES)


def included(client, name="SDXL"):
    (row,) = client.get(f"{PATH}/{quote(name)}?{ALL}").data
    assert list(row["include"]) == NAMES
    return {
        key: rows if rows is None else [entry["attributes"] for entry in rows]
        for key, rows in row["include"].items()
    }


def change(still, body, name="SDXL"):
    return still.client.call("PATCH", f"{PATH}/{quote(name)}", body)


def test_all_eight_relations(still):
    made = still.client.post(PATH, FULL)
    assert made.json["meta"] == {"params": {}}
    assert list(made.data["attributes"].items()) == [
        ("model", "sd_xl_base_1.0.safetensors"),
        ("name", "SDXL"),
        ("negative_prompt", "N"),
        ("prompt", "RAW photo, 4k"),
        ("size", 1024),
    ]
    of = {"diffusion_model_name": "SDXL"}
    assert included(still.client) == {
        "refiner": [{**of, "model": "sd_xl_refiner_1.0.safetensors", "size": 1024}],
        "inpainter": [{**of, "model": "xl-inpainting.safetensors", "size": None}],
        "scheduler": [
            {**of, "context": "", "name": "ddim"},
            {**of, "context": "multi_diffusion", "name": "eds"},
        ],
        "lora": [
            {**of, "model": "a.safetensors", "weight": 0.5},
            {**of, "model": "b.safetensors", "weight": 1.0},
        ],
        "lycoris": [{**of, "model": "c.safetensors", "weight": 1.0}],
        "inversion": [{**of, "model": "EasyNegativeV2.safetensors"}],
        "vae": [{**of, "name": "xl16"}],
        "config": [
            {**of, "configuration_key": key, "configuration_value": value}
            for key, value in [
                ("chunking_size", 0),
                ("guidance_scale", 5.0),
                ("height", 1024),
                ("refiner_denoising_strength", 0.2),
                ("width", 1024),
            ]
        ],
    }
    (row,) = still.client.get(f"{PATH}/SDXL?{ALL}").data
    assert {name: rows[0]["type"] for name, rows in row["include"].items()} == {
        "refiner": "DiffusionModelRefiner",
        "inpainter": "DiffusionModelInpainter",
        "scheduler": "DiffusionModelScheduler",
        "lora": "DiffusionModelLora",
        "lycoris": "DiffusionModelLycoris",
        "inversion": "DiffusionModelInversion",
        "vae": "DiffusionModelVAE",
        "config": "DiffusionModelDefaultConfiguration",
    }


def test_empty_relations_are_empty_lists_and_nulls(still):
    still.client.post(PATH, {"name": "SDXL", "model": "x.ckpt"})
    nothing = {"refiner": None, "inpainter": None, "vae": None}
    assert included(still.client) == {name: nothing.get(name, []) for name in NAMES}


def test_include_nests_back(still):
    still.client.post(PATH, FULL)
    (row,) = still.client.get(f"{PATH}/SDXL?include=lora.diffusion_model.vae").data
    assert list(row["include"]) == ["lora"]
    (back,) = row["include"]["lora"][0]["include"]["diffusion_model"]
    assert back["attributes"]["name"] == "SDXL"
    assert back["include"]["vae"][0]["attributes"]["name"] == "xl16"
    for path in ("bogus", "lora.bogus", "lora.diffusion_model.lora.diffusion_model"):
        assert still.client.get(f"{PATH}?include={path}").status == 400
    assert still.client.get(f"{PATH}?include=bogus").details == [
        "Unknown or bad relationship DiffusionModel(bogus)"
    ]


CHANGES = [
    ({"prompt": "P2"}, {}),
    ({"refiner": None}, {"refiner": None}),
    ({"refiner": ""}, {"refiner": None}),
    ({"lora": []}, {"lora": []}),
    ({"lora": None}, {"lora": []}),
    ({"scheduler": ""}, {"scheduler": ["eds"]}),
    ({"scheduler": None, "multi_scheduler": None}, {"scheduler": []}),
    ({"vae": "mse"}, {"vae": ["mse"]}),
    ({"width": None}, {"config": [0, 5.0, 1024, 0.2]}),
    ({"guidance_scale": 7}, {"config": [0, 7.0, 1024, 0.2, 1024]}),
    ({}, {}),
]


@pytest.mark.parametrize(
    ("sent", "text"), [("5", "5"), ("5.0", "5.0"), ('"5"', "5"), ("5.5", "5.5"), ("0", "0")]
)
def test_a_configurations_number_is_shown_as_it_was_sent(still, sent, text):
    body = f'{{"name": "n", "checkpoint": "starter", "size": 64, "guidance_scale": {sent}, "refiner_strength": 1}}'
    assert still.client.post(PATH, body.encode()).status == 200
    shown = still.client.get(f"{PATH}/n?include=config").body.decode().replace(" ", "")
    assert f'"configuration_key":"guidance_scale","configuration_value":{text},' in shown
    plan = still.client.post("/api/plan", {**QUICK, "model": "n"}).body.decode().replace(" ", "")
    assert f'"guidance_scale":{float(text)}' in plan


def test_a_change_touches_only_what_it_names(still):
    for body, differences in CHANGES:
        still.client.post(PATH, FULL)
        before = included(still.client)
        assert change(still, body).status == 200
        after = included(still.client)
        assert {name for name in NAMES if after[name] != before[name]} == set(differences), body
        for name, values in differences.items():
            seen = after[name] and [row.get("configuration_value", row.get("name")) for row in after[name]]
            assert seen == values
        still.client.delete(f"{PATH}/SDXL")


def test_a_model_is_renamed(still):
    for name in ("a", "b"):
        still.client.post(PATH, {"name": name, "checkpoint": "x.ckpt"})
    assert change(still, {"name": "My Model/"}, "a").status == 400
    assert change(still, {"name": "My Model"}, "a").data["attributes"]["name"] == "My Model"
    assert change(still, {"name": "b"}, "My Model").status == 409
    assert change(still, {"name": "My Model", "size": None}, "My Model").data["attributes"]["size"] == 512
    assert [row["attributes"]["name"] for row in still.client.get(PATH).data] == ["My Model", "b"]


REFUSED = [
    ("POST", "", {"name": "x"}, 400, "Missing required parameter 'checkpoint'"),
    ("POST", "", {"checkpoint": "x.ckpt"}, 400, "Missing required parameter 'name'"),
    ("POST", "", {"name": "SDXL", "checkpoint": "x.ckpt"}, 409, "A model named SDXL exists already"),
    ("POST", "", {"name": "a/b", "checkpoint": "x"}, 400, 'name: "a/b" serves for no address'),
    *[("POST", "", {"name": name, "checkpoint": "x"}, 400, "name: ") for name in (".", "..", " .. ")],
    ("POST", "", {"name": " ", "checkpoint": "x"}, 400, "name: "),
    ("POST", "", {"name": "x", "checkpoint": "x", "size": 3}, 400, "size: 3 is not a whole number from 8"),
    ("POST", "", {"name": "x", "checkpoint": "x", "lora": [{"weight": 1}]}, 400, "lora[0].model: is missing"),
    (
        "POST",
        "",
        {"name": "x", "checkpoint": "x", "scheduler": "ddm"},
        400,
        'scheduler: "ddm" is no scheduler',
    ),
    ("POST", "", {"name": "x", "checkpoint": "x", "guidance_scale": "a"}, 400, "guidance_scale: "),
    ("PATCH", "/Nope", {"prompt": "x"}, 404, "No model named Nope"),
    ("PATCH", "/SDXL", {"checkpoint": None}, 400, "Missing required parameter 'checkpoint'"),
    ("PATCH", "/SDXL", {"name": None}, 400, "Missing required parameter 'name'"),
    ("PATCH", "/SDXL", {"refiner_start": 2}, 400, "refiner_start: 2 is not a number from 0"),
    ("DELETE", "/Nope", None, 404, "No model named Nope"),
    ("GET", "/Nope", None, 404, "No DiffusionModel found with name=Nope"),
    ("GET", "/Nope/status", None, 404, "No model named Nope"),
    ("GET", "?filter=parts:x", None, 400, "filter: "),
    ("GET", "?sort=id", None, 400, "sort: "),
]


def test_refusals(still):
    still.client.post(PATH, FULL)
    before = still.client.get(f"{PATH}?{ALL}").body
    for method, path, body, status, words in REFUSED:
        answer = still.client.call(method, PATH + path, body)
        assert answer.status == status, (method, path, body)
        assert answer.details[0].startswith(words), answer.details
    assert still.client.get(f"{PATH}?{ALL}").body == before


def test_the_grammar_of_collections(still):
    for name, size in (("Realistic", 512), ("realism", 768), ("SDXL", 1024)):
        still.client.post(PATH, {"name": name, "checkpoint": "x.ckpt", "size": size})
    for query, expected in [
        ("ilike=name:real", ["Realistic", "realism"]),
        ("filter=name:Realistic|SDXL&sort=size:desc", ["SDXL", "Realistic"]),
        ("filter=size:768", ["realism"]),
        ("limit=1&offset=1", ["realism"]),
        ("filter=name:realistic", []),
    ]:
        answer = still.client.get(f"{PATH}?{query}")
        assert [row["attributes"]["name"] for row in answer.data] == expected, query
    assert still.client.get(f"{PATH}?limit=1").json["meta"] == {"params": {"limit": ["1"]}, "count": 3}


def test_users_read_and_administrators_write(signed):
    body = {"name": "mine", "checkpoint": "starter"}
    for method, path, action in [
        ("POST", PATH, "create"),
        ("PATCH", f"{PATH}/x", "update"),
        ("DELETE", f"{PATH}/x", "delete"),
    ]:
        answer = signed.ann.call(method, path, body)
        assert answer.status == 403
        assert answer.details == [f"User ann is not authorized to {action} on DiffusionModel."]
    assert signed.admin.post(PATH, body).status == 200
    assert signed.ann.get(PATH).json["meta"]["count"] == 1


def plan_of(still, **body):
    uuid = still.client.post("/api/invoke", {**QUICK, **body}).data["uuid"]
    (row,) = still.client.get(f"/api/invocation-history/{uuid}").data
    still.client.delete(f"/api/invocation/{uuid}")
    return row["attributes"]["plan"]


STORED = {
    "name": "mine",
    "checkpoint": "starter",
    "size": 64,
    "prompt": "bright colours",
    "negative_prompt": "grey",
    "scheduler": "ddim",
    "guidance_scale": 3,
    "inference_steps": 9,
    "width": 96,
}


def test_invoking_by_name_fills_what_was_not_said(still):
    still.client.post(PATH, STORED)
    body = {"width": None, "height": 64, "num_inference_steps": None}
    plan = plan_of(still, model="mine", **body)
    (node,) = plan["nodes"]
    assert (plan["width"], plan["height"], plan["size"], plan["scheduler"]) == (96, 64, 64, "ddim")
    assert (node["num_inference_steps"], node["guidance_scale"]) == (9, 3)
    assert (node["prompt"], node["negative_prompt"]) == ("a red circle, bright colours", "grey")
    assert "the stored model 'mine' gave model, " in str(plan)


def test_what_was_said_wins(still):
    still.client.post(PATH, STORED)
    said = {"guidance_scale": 7, "scheduler": "eds", "inference_steps": 4, "model_prompt": "", "size": 128}
    plan = plan_of(still, model="mine", model_type="model", num_inference_steps=None, **said)
    (node,) = plan["nodes"]
    assert (node["num_inference_steps"], node["guidance_scale"], plan["scheduler"]) == (4, 7, "eds")
    assert (node["prompt"], plan["width"], plan["size"]) == ("a red circle", 64, 128)


def test_collisions_are_settled_by_model_type(still):
    still.client.post(PATH, {**STORED, "name": "starter"})
    assert plan_of(still, model="starter")["scheduler"] == "ddim"
    assert plan_of(still, model="starter", model_type="model")["scheduler"] == "ddim"
    assert plan_of(still, model="starter", model_type="diffusers")["scheduler"] is None


def test_what_is_listed_as_a_checkpoint_is_one(still):
    listed = still.client.get("/api/checkpoints").data[0]
    still.client.post(PATH, {**STORED, "name": listed})
    plan = still.client.post("/api/plan", {**QUICK, "model": listed, "model_type": "checkpoint"}).data
    assert (listed, plan["model"], plan["scheduler"]) == ("starter", "starter", None)


@pytest.mark.parametrize("said", [{}, {"model_type": None}, {"model_type": "model"}])
def test_the_nearest_of_an_unknown_name_may_be_a_stored_model(still, said):
    still.client.post(PATH, {**STORED, "name": "cfg"})
    answer = still.client.post("/api/plan", {**QUICK, "model": "cfgg", **said})
    assert (answer.status, answer.details) == (
        404,
        ["Unknown diffusion model cfgg; did you mean 'cfg'?"],
    )
    answer = still.client.post("/api/plan", {**QUICK, "model": "startr", **said})
    assert answer.details == ["Unknown diffusion model startr; did you mean 'starter'?"]


def test_the_nearest_stored_model_is_told_beside_other_faults(still):
    still.client.post(PATH, {**STORED, "name": "cfg"})
    answer = still.client.post("/api/plan", {**QUICK, "model": "cfgg", "scheduler": "nope"})
    assert (answer.status, len(answer.details)) == (400, 2)
    assert "model: Unknown diffusion model cfgg; did you mean 'cfg'?" in answer.details


def test_a_models_file_that_is_not_here_is_said_at_once(still):
    still.client.post(PATH, {**STORED, "checkpoint": "gone.safetensors"})
    answer = still.client.post("/api/invoke", {**QUICK, "model": "mine"})
    assert answer.status == 400
    assert "Cannot find or access gone.safetensors" in answer.details[0]
    still.client.call("PATCH", f"{PATH}/mine", {"checkpoint": "starter", "lora": "gone.safetensors"})
    answer = still.client.post("/api/invoke", {**QUICK, "model": "mine"})
    assert answer.status in (400, 404)
    assert "gone.safetensors" in answer.details[0]


@pytest.mark.parametrize("model_type", [None, "model"])
def test_an_unknown_name_is_404(still, model_type):
    still.client.post(PATH, STORED)
    answer = still.client.post("/api/invoke", {**QUICK, "model": "mein", "model_type": model_type})
    assert answer.status == 404
    assert answer.details[0].startswith("Unknown diffusion model mein")


def test_status_names_the_files_and_says_what_is_not_here(still):
    still.client.post(PATH, {**STORED, "refiner": "fine.safetensors"})
    found = still.client.get(f"{PATH}/mine/status").data
    assert (found["model"], found["refiner"]) == ("starter", "fine.safetensors")
    assert found["inpainter"] == "starter-inpainting"
    assert list(found["tensorrt"]) == ["base", "inpainter", "refiner"]
    assert found["tensorrt"]["base"]["xl"] is False
    assert found["tensorrt"]["base"]["ready"] is False
    assert "fine.safetensors" in found["tensorrt"]["refiner"]["reason"]
    still.client.call("PATCH", f"{PATH}/mine", {"refiner": None, "inpainter": "starter"})
    found = still.client.get(f"{PATH}/mine/status").data
    assert (found["inpainter"], found["refiner"], found["tensorrt"]["refiner"]) == ("starter", None, None)


def test_options_are_what_model_takes(still):
    still.client.post(PATH, STORED)
    (still.folders.model_folder("checkpoint") / "mine.ckpt").touch()
    found = [(row["type"], row["name"]) for row in still.client.get("/api/model-options").data]
    assert found[0] == ("checkpoint", "mine.ckpt")
    assert ("checkpoint", "sd_xl_base_1.0.safetensors") in found
    assert ("diffusers", "starter") in found
    assert found[-1] == ("model", "mine")


def test_a_compiler_that_there_is_not_is_refused_when_it_is_stored(still):
    refused = still.client.post(PATH, {"name": "X", "checkpoint": "x.ckpt", "acceleration": "tensort"})
    assert refused.status == 400
    assert refused.details == ["acceleration: \"tensort\" is no compiler; did you mean 'tensorrt'?"]
    assert still.client.get(PATH).data == []
    for word in ("none", "torch_compile", "", None):
        body = {"name": f"X {word}", "checkpoint": "x.ckpt", "acceleration": word}
        assert still.client.post(PATH, body).status == 200, word
    refused = change(still, {"acceleration": "onnxruntme"}, "X none")
    assert refused.details == ["acceleration: \"onnxruntme\" is no compiler; did you mean 'onnxruntime'?"]
    assert change(still, {"acceleration": "onnxruntime"}, "X none").status == 200
    refused = change(still, {"engine_profile": "wide"}, "X none")
    assert refused.details[0].startswith('engine_profile: "wide" is not one of static, range')
    assert change(still, {"engine_profile": "range"}, "X none").status == 200
    shown = still.client.get(f"{PATH}/X%20none?include=config").body.decode().replace(" ", "")
    assert '"configuration_key":"engine_profile","configuration_value":"range"' in shown
