"""Iterations and skipped layers, held against seeds and models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image
from stretto.host import Family, InvocationRequest, WeightFile, WeightKind
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import progress_ticks
from stretto.host.planning.repeats import LAST_SEED, deepest_skip


def plan_of(view: Any, **asked: Any) -> Any:
    return build_plan(InvocationRequest(**{"prompt": "x", "model": "sd1.safetensors", **asked}), view)


def fault_of(view: Any, **asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, **asked)
    return {fault.field: fault.message for fault in caught.value.faults}


def test_each_run_takes_the_next_seed(view: Any) -> None:
    plan = plan_of(view, seed=7, iterations=3, samples=2)
    assert (plan.seed, plan.iterations, plan.samples) == (7, 3, 2)
    assert [(run.seed, run.iterations, run.samples) for run in plan.runs()] == [
        (7, 1, 2),
        (8, 1, 2),
        (9, 1, 2),
    ]
    once = plan_of(view, seed=7, samples=2)
    assert once.runs() == (once,)
    assert progress_ticks(plan) == 3 * progress_ticks(once) == 3 * 45


def test_seeds_end_somewhere(view: Any) -> None:
    assert plan_of(view, seed=LAST_SEED, iterations=1).seed == LAST_SEED
    words = fault_of(view, seed=LAST_SEED, iterations=2)["seed"]
    assert words.endswith(f"lower it to {LAST_SEED - 1}")
    assert plan_of(view, seed=LAST_SEED - 1, iterations=2).runs()[-1].seed == LAST_SEED


@pytest.mark.parametrize(
    ("model", "deepest"),
    [("sd1.safetensors", 11), ("sd2.safetensors", 22), ("xl.safetensors", 10)],
)
def test_a_layer_is_left_to_every_family(view: Any, model: str, deepest: int) -> None:
    assert plan_of(view, model=model, clip_skip=deepest).clip_skip == deepest
    words = fault_of(view, model=model, clip_skip=deepest + 1)["clip_skip"]
    assert words == f"{deepest + 1} is too much for '{model}'; at most {deepest} serves"


def test_the_inpainter_reads_the_prompt_too(view: Any, tmp_path: Any) -> None:
    Image.new("L", (64, 64), 255).save(tmp_path / "mask.png")
    ref = ImageRef(path=str(tmp_path / "mask.png"), width=64, height=64, mode="L", sha256="0")
    asked = {"image": ref, "mask": ref, "inpainter": "xl.safetensors"}
    assert plan_of(view, clip_skip=10, **asked).clip_skip == 10
    assert "'xl.safetensors'" in fault_of(view, clip_skip=11, **asked)["clip_skip"]


def test_a_folder_says_itself_how_many_layers_it_has(tmp_path: Any) -> None:
    for part, layers in (("text_encoder", 5), ("text_encoder_2", 9)):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps({"num_hidden_layers": layers}))
    file = WeightFile(path=str(tmp_path), kind=WeightKind.DIFFUSERS, family=Family.SDXL)
    assert deepest_skip(file) == 3
    alone = WeightFile(path="/unet", kind=WeightKind.UNET, family=Family.SDXL, parts_from=file)
    assert deepest_skip(alone) == 3  # the text encoders are those of the other model


def test_a_pickle_says_nothing(view: Any) -> None:
    assert plan_of(view, model="old.ckpt", clip_skip=20).clip_skip == 20
