"""bfloat16 against float32: close enough to be the same picture (44 to 51 dB measured)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stretto.host.contracts.models import Precision

from .conftest import Ours


def psnr_db(one, other):
    error = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return 10 * math.log10(255**2 / max(float((error**2).mean()), 1e-9))


@pytest.mark.parametrize(("model", "least_db"), [("tiny_sd1", 40), ("tiny_sdxl", 40), ("starter_path", 40)])
@pytest.mark.parametrize("scheduler", ["ddim", "dpmsm"])
def test_bfloat16_draws_the_same_picture(pairs, model, least_db, scheduler):
    pair = pairs(model)
    half = Ours(pair.folder, Precision.BFLOAT16)
    changes = {
        "width": 128,
        "height": 128,
        "size": 128,
        "scheduler": scheduler,
        "steps": 5,
        "prompt": "a red circle on a blue background",
    }
    full = [pair.ours.draw(seed=seed, **changes)[0] for seed in range(2)]
    ours = [half.draw(seed=seed, **changes)[0] for seed in range(2)]
    measured = [psnr_db(one, other) for one, other in zip(full, ours, strict=True)]
    assert min(measured) >= least_db
