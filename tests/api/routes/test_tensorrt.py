"""Compiled engines over HTTP: listed with who draws with them, removed, and counted in a model's status."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from stretto.api.engines import Engines
from stretto.host.catalog.digests import Digests
from stretto.trt_cache.keys import AxisRange, EngineKey
from stretto.trt_cache.locks import held
from stretto.trt_cache.store import About, EngineStore, Source, State

from ..stand_in import weights

LORA = "ink.safetensors"
STORED = {"name": "mine", "checkpoint": "starter", "size": 128}
WITH_LORA = {**STORED, "name": "inked", "lora": [{"model": LORA, "weight": 0.5}]}
CELLS = 16  # of 128 px
WIDE = tuple((name, AxisRange(min=CELLS, opt=CELLS, max=CELLS * 2)) for name in ("height", "width"))


@pytest.fixture
def lora(still):
    path = still.folders.model_folder("lora") / LORA
    path.write_bytes(weights(64))
    return path


@pytest.fixture
def build(still):
    """Give what puts an engine of the starter model into the store."""
    digests = Digests(still.folders.root / "cache" / "sha256.json")
    starter = still.host.resolve_model("starter")

    now = still.host.offer("compilers", "onnxruntime").build().version()

    def built(component="unet", lora=None, weight=0.5, cells=CELLS, **changes):
        sources = [
            Source(kind="model", name="starter", path=starter.path, sha256=digests.of(Path(starter.path)))
        ]
        if lora is not None:
            sources.append(
                Source(kind="lora", name=lora.name, path=str(lora), sha256=digests.of(lora), weight=weight)
            )
        side = AxisRange.only(cells)
        key = EngineKey(
            component=component, graph=sha256(f"{lora} {weight}".encode()).hexdigest(), precision="float32",
            axes=(("height", side), ("width", side)), compiler="onnxruntime", version=now, target="cpu",
        )  # fmt: skip
        about = About(model="starter", size_px=cells * 8, sources=tuple(sources))
        store = EngineStore(still.folders.engines)
        return store.get_or_build(
            replace(key, **changes), lambda out: (out / "a.onnx").write_bytes(b"engine"), about
        )

    return built


def state_of(still, name="mine", part="base"):
    return still.client.get(f"/api/models/{name}/status").data["tensorrt"][part]


def test_there_are_none_at_first(still):
    assert still.client.get("/api/tensorrt").data == []
    found = still.client.get("/api/installation").data["tensorrt"]
    assert found == {"items": 0, "files": 0, "bytes": 0, "path": str(still.folders.engines)}


def test_an_engine_is_listed_with_the_models_that_draw_with_it(still, build, lora):
    still.client.post("/api/models", STORED)
    still.client.post("/api/models", WITH_LORA)
    plain, inked = build(), build(lora=lora)
    other = build(component="controlled_unet", target="sm89")
    rows = {row["key"]: row for row in still.client.get("/api/tensorrt").data}
    assert rows[plain.digest] == {
        "key": plain.digest, "type": "unet", "model": "starter", "lora": [], "lycoris": [], "inversion": [],
        "used": True, "used_by": ["mine"], "size": 128, "bytes": 6,
        "compiler": "onnxruntime", "target": "cpu", "state": "unverified",
    }  # fmt: skip
    assert rows[inked.digest]["used_by"] == ["inked"]
    assert rows[inked.digest]["lora"] == [{"model": LORA, "weight": 0.5}]
    assert (rows[other.digest]["type"], rows[other.digest]["used"]) == ("controlledunet", False)
    found = still.client.get("/api/installation").data["tensorrt"]
    assert (found["items"], found["files"]) == (3, 6)


def test_an_engine_is_removed(still, build):
    engine = build(component="controlled_unet")
    for path in (
        f"starter/unet/{engine.digest}",
        f"other/controlledunet/{engine.digest}",
        "starter/unet/abc",
    ):
        answer = still.client.delete(f"/api/tensorrt/{path}")
        model, kind, key = path.split("/")
        assert answer.status == 404
        assert answer.details == [f"Couldn't find {kind} TensorRT engine for {model} with key {key}"]
    path = f"/api/tensorrt/starter/controlledunet/{engine.digest}"
    with held(still.folders.engines, engine.digest):
        assert still.client.delete(path).status == 409
    assert still.client.delete(path).data is None
    assert still.client.delete(path).status == 404
    assert still.client.get("/api/tensorrt").data == []


def test_users_list_and_administrators_remove(signed):
    assert signed.ann.get("/api/tensorrt").data == []
    assert signed.ann.delete("/api/tensorrt/a/b/c").status == 403
    assert signed.admin.delete("/api/tensorrt/a/b/c").status == 404


@pytest.fixture
def compiler(still, monkeypatch):
    """Have one compiler that can build here, whatever is installed."""
    spec = still.host.offer("compilers", "onnxruntime")
    offers = type(still.host).offers
    able = type(spec)(
        name=spec.name, build=spec.build, components=spec.components, precisions=spec.precisions
    )
    monkeypatch.setattr(
        type(still.host), "offers",
        lambda host, kind: {spec.name: able} if kind == "compilers" else offers(host, kind),
    )  # fmt: skip


def test_status_counts_what_serves_here(still, build, lora, compiler):
    still.client.post("/api/models", STORED)
    none = {
        "supported": True, "xl": False, "ready": False,
        "unet_ready": False, "controlled_unet_ready": False, "vae_ready": False, "clip_ready": False,
    }  # fmt: skip
    assert state_of(still) == none
    build(target="sm89")  # no such card here
    build(cells=CELLS * 2)  # another size
    build(lora=lora)  # more than was asked for
    build(component="vae_decoder")  # half of it
    assert state_of(still) == none
    engine = build()
    assert state_of(still) == {**none, "ready": True, "unet_ready": True}
    build(component="vae_encoder")
    inpainter = state_of(still, part="inpainter")  # another UNet, and the base model's VAE
    assert (inpainter["unet_ready"], inpainter["vae_ready"]) == (False, True)
    build(component="controlled_unet")
    build(component="text_encoder")
    assert all(state_of(still)[name] for name in none if name != "xl")
    EngineStore(still.folders.engines).quarantine(engine.digest, {"why": "far"})
    assert state_of(still)["unet_ready"] is False


def test_status_knows_adapters_by_content_and_weight(still, build, lora, compiler):
    still.client.post("/api/models", WITH_LORA)
    build()
    build(lora=lora, weight=0.75)
    assert state_of(still, "inked")["ready"] is False
    build(lora=lora)
    assert state_of(still, "inked")["ready"] is True
    lora.write_bytes(weights(65))
    assert state_of(still, "inked")["ready"] is False
    lora.unlink()
    assert state_of(still, "inked")["ready"] is False


@pytest.mark.parametrize(
    ("stored", "engine", "ready"),
    [
        ({"acceleration": "onnxruntime"}, {}, True),
        ({"acceleration": "torch_compile"}, {}, False),
        ({"acceleration": "none"}, {}, False),
        ({}, {"version": "onnxruntime 0.1"}, False),
        ({"engine_profile": "static"}, {}, True),
        ({"engine_profile": "static"}, {"axes": WIDE}, False),
        ({"engine_profile": "range"}, {"axes": WIDE}, True),
        ({"engine_profile": "range"}, {}, False),
    ],
)
def test_status_promises_what_a_job_of_the_model_would_take(still, build, stored, engine, ready):
    assert still.client.post("/api/models", {**STORED, **stored}).status == 200
    build(**engine)
    assert state_of(still)["ready"] is ready
    (row,) = still.client.get("/api/tensorrt").data
    assert row["used_by"] == (["mine"] if ready else [])


def test_a_compiler_that_nobody_offers_any_more_takes_no_engines(still, build):
    assert still.client.post("/api/models", {**STORED, "acceleration": "onnxruntime"}).status == 200
    build()
    assert state_of(still)["ready"] is True
    assert still.client.call("PATCH", "/api/plugins/compilers", {"enabled": False}).status == 200
    (row,) = still.client.get("/api/tensorrt").data
    assert row["used_by"] == []
    assert state_of(still)["ready"] is False


def test_text_encoders_have_engines_under_either_policy(still, build):
    build(component="text_encoder", axes=(("batch", AxisRange(min=1, opt=2, max=16)),))
    for policy in ("static", "range"):
        body = {**STORED, "name": policy, "engine_profile": policy}
        assert still.client.post("/api/models", body).status == 200
        assert state_of(still, policy)["clip_ready"] is True


@pytest.mark.parametrize(("acceleration", "ready"), [("onnxruntime", True), ("none", False)])
def test_a_refiner_is_drawn_with_by_the_models_compiler(still, build, acceleration, ready):
    refined = {"refiner": "starter", "refiner_size": 128, "size": 256, "acceleration": acceleration}
    assert still.client.post("/api/models", {**STORED, **refined}).status == 200
    build()
    assert state_of(still, part="refiner")["ready"] is ready
    (row,) = still.client.get("/api/tensorrt").data
    assert row["used_by"] == (["mine"] if ready else [])


def test_engines_of_lost_and_changed_weights_are_orphans(still, build, lora):
    engines = Engines(still.host)
    plain, inked = build().manifest, build(lora=lora).manifest
    assert [engines.orphaned(one) for one in (plain, inked)] == [False, False]
    (lora.parent / "deep").mkdir()
    lora.rename(lora.parent / "deep" / LORA)  # elsewhere, and the same
    assert Engines(still.host).orphaned(inked) is False
    (lora.parent / "deep" / LORA).write_bytes(weights(65))
    assert [engines.orphaned(one) for one in (plain, inked)] == [False, True]
    (lora.parent / "deep" / LORA).unlink()
    assert engines.orphaned(inked) is True


@pytest.mark.parametrize("path", ["", ".", "..", "/", "../..", "a\0b", "x" * 5000])
def test_places_in_an_imported_manifest_lead_nowhere(still, build, path):
    still.client.post("/api/models", STORED)
    engine = build()
    source = replace(engine.manifest.model.sources[0], path=path, sha256="f" * 64)
    replace(engine.manifest, model=replace(engine.manifest.model, sources=(source,))).write(engine.path)
    (row,) = still.client.get("/api/tensorrt").data
    assert row["used_by"] == []
    assert Engines(still.host).orphaned(EngineStore(still.folders.engines).all()[0].manifest) is True


def test_a_damaged_engine_is_listed_and_not_used(still, build):
    still.client.post("/api/models", STORED)
    engine = build()
    (engine.path / "engine" / "a.onnx").unlink()
    (row,) = still.client.get("/api/tensorrt").data
    assert (row["state"], row["used_by"]) == (State.DAMAGED, [])
