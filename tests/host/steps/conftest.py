"""A real host over tiny models, and benches of its jobs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from PIL import Image
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.ports import Job
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.request import InvocationRequest
from stretto.host.planning.order import order
from stretto.host.runtime.bench import JobBench
from stretto.host.runtime.host import Host
from stretto.host.runtime.machine import Machine
from stretto.host.settings import Folders, Settings
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.testing.tiny import make_tiny_inpainter, make_tiny_sd1, make_tiny_sdxl


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a host, its machine, and `job(**request)` -> a bench whose events are in `told`."""
    folders = Folders(tmp_path_factory.mktemp("data"))
    folders.create()
    models = folders.model_folder("diffusers")
    make_tiny_sd1(models / "one")
    make_tiny_sdxl(models / "xl")
    make_tiny_inpainter(models / "filler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("TRANSFORMERS_OFFLINE", "1")
        settings = Settings(model="one", precision="float32")
        with Host.open(folders, settings) as host, Machine.open(host) as machine:
            yield _Studio(host, machine)


class _Studio:
    def __init__(self, host: Host, machine: Machine) -> None:
        self.host = host
        self.machine = machine

    def plan(self, **request: Any) -> Any:
        values = {
            "prompt": "a red circle", "size": 64, "num_inference_steps": 4, "seed": 1, "scheduler": "ddim",
            "chunking_size": 0,
        }  # fmt: skip
        return self.host.plan(InvocationRequest(**{**values, **request}))

    def job(self, *, plan: Any = None, cancelled: Any = lambda: False, **request: Any) -> Any:
        told: list[Any] = []
        job = Job(uuid=uuid4().hex, user_id=0, plan=plan or self.plan(**request))
        bench = JobBench(job, self.host, self.machine, tell=told.append, cancelled=cancelled)
        return SimpleNamespace(bench=bench, told=told, steps=order(bench.plan))

    def run(self, job: Any, steps: Any = None) -> Frame:
        frame = Frame()
        for step in job.steps if steps is None else steps:
            frame = CoreSteps().run_step(step, frame, job.bench)
        return frame

    def draw(self, **request: Any) -> tuple[Image.Image, ...]:
        job = self.job(**request)
        return self.run(job, job.steps[:1]).images


@pytest.fixture
def reference(tmp_path: Any) -> Any:
    """Give `make(image)`, which stores a picture and gives its reference."""

    def make(image: Image.Image) -> ImageRef:
        path = tmp_path / f"{uuid4().hex}.png"
        image.save(path)
        return ImageRef(
            path=str(path), width=image.width, height=image.height, mode=image.mode, sha256="0" * 64
        )

    return make


@pytest.fixture
def ramp() -> Image.Image:
    """Give a smooth picture of 80 x 56 px."""
    rows, columns = np.mgrid[0:56, 0:80]
    return Image.fromarray(np.stack([rows * 4, columns * 3, 255 - rows], axis=-1).astype(np.uint8))
