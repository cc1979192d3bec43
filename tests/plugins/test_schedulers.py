from __future__ import annotations

import inspect
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stretto.plugins.schedulers import register_schedulers

SEED_WORDS = [
    "ddim", "ddpm", "deis", "dpmsm", "dpmss", "heun", "dpmd",
    "adpmd", "dpmsde", "unipc", "lmsd", "pndm", "eds", "eads",
]  # fmt: skip
SPECS = {spec.name: spec for spec in register_schedulers()}
TWO_CALLS = {"heun", "dpmd", "adpmd", "dpmsde"}


def config_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "scheduler" / "scheduler_config.json").read_text())


def run(name: str, config: dict[str, Any], steps: int, seed: int = 0) -> Any:
    """Denoise with a stand-in network that predicts half of its input."""
    import torch

    spec = SPECS[name]
    scheduler = spec.build({**config, spec.seed_key: seed} if spec.seed_key else config)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
    takes = inspect.signature(scheduler.step).parameters
    extra = {"generator": generator} if "generator" in takes else {}
    for timestep in scheduler.timesteps:
        x = scheduler.step(scheduler.scale_model_input(x, timestep) * 0.5, timestep, x, **extra).prev_sample
    return scheduler, x


def test_all_the_words_of_the_contract() -> None:
    assert list(SPECS) == SEED_WORDS


def test_no_name_or_alias_twice() -> None:
    words = [word for spec in SPECS.values() for word in (spec.name, *spec.aliases)]
    assert len(words) == len(set(words))


def test_well_known_names_are_aliases() -> None:
    by_alias = {alias: spec.name for spec in SPECS.values() for alias in spec.aliases}
    expected = {"euler": "eds", "euler_a": "eads", "dpmpp_2m": "dpmsm", "PNDMScheduler": "pndm"}
    assert expected.items() <= by_alias.items()


@pytest.mark.parametrize("family", ["tiny_sd1", "tiny_sd2", "tiny_sdxl"])
@pytest.mark.parametrize("name", SEED_WORDS)
def test_runs_from_every_familys_config(
    name: str, family: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    config = config_of(request.getfixturevalue(family))
    caplog.set_level(logging.WARNING, logger="diffusers")
    logging.getLogger("diffusers").addHandler(caplog.handler)
    try:
        for steps in (1, 2, 3, 5, 20, 40):
            scheduler, x = run(name, config, steps)
            assert torch.isfinite(x).all()
            calls = len(scheduler.timesteps)
            expected = 2 * steps - 1 if name in TWO_CALLS else steps
            assert calls == (steps + 1 if name == "pndm" and steps > 1 else expected)
            assert scheduler.config.prediction_type == config["prediction_type"]
    finally:
        logging.getLogger("diffusers").removeHandler(caplog.handler)
    assert not caplog.records


@pytest.mark.parametrize("name", SEED_WORDS)
def test_the_same_seed_gives_the_same_latents(name: str, tiny_sd1: Path) -> None:
    import torch

    config = config_of(tiny_sd1)
    (_, first), (_, again), (_, other) = (
        run(name, config, 4, 7),
        run(name, config, 4, 7),
        run(name, config, 4, 8),
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", SEED_WORDS)
def test_what_one_job_does_to_its_scheduler_is_not_the_next_ones(name: str, tiny_sd1: Path) -> None:
    config = config_of(tiny_sd1)
    used = SPECS[name].build(config)
    used.betas.zero_()
    other = SPECS[name].build({**config, "beta_end": 0.02})
    fresh = SPECS[name].build(config)
    assert fresh.config == used.config != other.config
    assert 0 < fresh.betas.max() < other.betas.max()


def test_latents_are_never_clipped() -> None:
    for name in ("ddim", "ddpm"):
        scheduler = SPECS[name].build({"beta_schedule": "scaled_linear", "clip_sample": True})
        assert scheduler.config.clip_sample is False


def test_an_offer_imports_no_torch() -> None:
    words = (
        "stretto.plugins.schedulers stretto.plugins.vaes stretto.plugins.resamplers stretto.plugins.loaders"
    )
    code = f"""
import sys
from importlib import import_module
for word in {words.split()}:
    import_module(word)
from stretto.plugins.schedulers import register_schedulers
register_schedulers()
heavy = {{'torch', 'diffusers', 'transformers'}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
