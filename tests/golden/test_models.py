"""The contract's examples of stored models, replayed with curl's Content-Type."""

from __future__ import annotations

PROMPT = "RAW photo, highly detailed, intricate detail, 4k, 8k, sharp focus, ultra-detailed"
NEGATIVE = "deformed, (((distorted face))), ((malformed face)), blurry, bad anatomy"
REALISTIC = {
    "name": "Realistic Vision",
    "checkpoint": "realisticVisionV40_v40VAE.safetensors",
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
}
SDXL = {
    "name": "SDXL",
    "checkpoint": "sd_xl_base_1.0.safetensors",
    "prompt": PROMPT,
    "negative_prompt": NEGATIVE,
    "size": 1024,
    "vae": "xl16",
    "refiner": "sd_xl_refiner_1.0.safetensors",
    "refiner_size": 1024,
    "guidance_scale": 5,
    "width": 1024,
    "height": 1024,
}
MY_MODEL = {
    "type": "DiffusionModel",
    "attributes": {
        "model": "sd_xl_base_1.0.safetensors",
        "name": "My Model",
        "negative_prompt": "",
        "prompt": "",
        "size": 512,
    },
}


def listed(model):
    return {
        "type": "DiffusionModel",
        "attributes": {
            "model": model["checkpoint"],
            "name": model["name"],
            "negative_prompt": NEGATIVE,
            "prompt": PROMPT,
            "size": model.get("size", 512),
        },
    }


def config(key, value):
    return {
        "type": "DiffusionModelDefaultConfiguration",
        "attributes": {
            "configuration_key": key,
            "configuration_value": value,
            "diffusion_model_name": "SDXL",
        },
    }


def test_get_models(another):
    client = another.client
    for model in (REALISTIC, SDXL):
        assert client.post("/api/models", model).data == listed(model)
    assert client.get("/api/models").json == {
        "meta": {"params": {}, "count": 2},
        "data": [listed(REALISTIC), listed(SDXL)],
    }
    answer = client.get("/api/models/SDXL?include=vae&include=refiner&include=config")
    assert answer.json == {
        "meta": {"params": {"include": ["vae", "refiner", "config"]}, "count": 1},
        "data": [
            {
                **listed(SDXL),
                "include": {
                    "vae": [
                        {
                            "type": "DiffusionModelVAE",
                            "attributes": {"diffusion_model_name": "SDXL", "name": "xl16"},
                        }
                    ],
                    "refiner": [
                        {
                            "type": "DiffusionModelRefiner",
                            "attributes": {
                                "diffusion_model_name": "SDXL",
                                "model": "sd_xl_refiner_1.0.safetensors",
                                "size": 1024,
                            },
                        }
                    ],
                    "config": [config("guidance_scale", 5), config("height", 1024), config("width", 1024)],
                },
            }
        ],
    }
    assert list(answer.data[0]["include"]) == ["vae", "refiner", "config"]


def test_post_patch_and_delete_models(another):
    client = another.client
    made = client.post("/api/models", b'{"name": "My Model", "checkpoint": "sd_xl_base_1.0.safetensors"}')
    assert made.json == {"meta": {"params": {}}, "data": MY_MODEL}
    changed = client.call("PATCH", "/api/models/My%20Model", b'{"scheduler": "ddim"}')
    assert changed.json == {"meta": {"params": {}}, "data": MY_MODEL}
    assert client.delete("/api/models/My%20Model").json == {"meta": {"params": {}}, "data": None}
    assert client.get("/api/models").json == {"meta": {"params": {}, "count": 0}, "data": []}
