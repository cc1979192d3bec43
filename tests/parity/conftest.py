"""Our engine and diffusers' own pipelines over the same weights."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stretto.host.catalog.probe import probe
from stretto.host.contracts.images import ImageRef
from stretto.host.contracts.models import ModelSpec, Precision, Role
from stretto.host.contracts.plan import Bounds, Node, Plan
from stretto.host.contracts.protocols import Frame, LoadedModel
from stretto.host.contracts.steps import Diffuse
from stretto.host.engine.components import settle
from stretto.host.errors import NotFoundError
from stretto.host.settings import Folders, Settings
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.testing.fixtures import starter_path, tiny_refiner, tiny_sd1, tiny_sd2, tiny_sdxl  # noqa: F401
from stretto.plugins.controls import register_preprocessors
from stretto.plugins.loaders import register_loaders
from stretto.plugins.patchers import register_patchers
from stretto.plugins.resamplers import register_upscalers
from stretto.plugins.schedulers import register_schedulers


class Offers:
    """A HostView over the built-in schedulers and upscalers."""

    version = "test"
    settings = Settings()

    def __init__(self) -> None:
        self._offers = {
            "schedulers": list(register_schedulers()),
            "upscalers": list(register_upscalers()),
            "patchers": list(register_patchers()),
            "preprocessors": list(register_preprocessors()),
        }

    def offers(self, kind: str) -> Any:
        return {spec.name: spec for spec in self._offers[kind]}

    def offer(self, kind: str, name: str) -> Any:
        for spec in self._offers[kind]:
            if name in (spec.name, *spec.aliases):
                return spec
        raise NotFoundError(f"no {kind} '{name}'")

    def plugin_parameters(self, name: str, into: Any, asked: Any) -> Any:
        return into(**asked.plugins.get(name, {}))


@dataclass
class Bench:
    """A Bench that remembers what it was told."""

    plan: Plan
    models: dict[ModelSpec, LoadedModel]
    folders: Folders = field(default_factory=lambda: Folders(Path("nothing-is-put-down")))
    job: str = "j" * 32
    device: str = "cpu"
    precision: Precision = Precision.FLOAT32
    host: Any = field(default_factory=Offers)
    ahead: tuple[Any, ...] = ()
    ticks: list[int] = field(default_factory=list)
    previews: list[tuple[Image.Image, ...]] = field(default_factory=list)
    memory: dict[Any, Any] = field(default_factory=dict)

    def model(self, spec: ModelSpec) -> LoadedModel:
        return self.models[replace(spec, precision=spec.precision or self.precision)]

    def tick(self, task: str, *, ticks: int = 1, rate: float | None = None) -> None:
        assert task
        assert rate is None
        self.ticks.append(ticks)

    def preview(self, images: Any) -> None:
        self.previews.append(tuple(images()))

    def note(self, text: str) -> None:
        self.plan = self.plan.with_note(text)

    def compiled(self, _model: Any) -> Any:
        return nullcontext()

    def cache(self, key: Any, make: Any) -> Any:
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]


class Ours:
    """One folder of weights, drawn with by our engine."""

    def __init__(self, folder: Path, precision: Precision = Precision.FLOAT32) -> None:
        self.weights = probe(folder)
        spec = ModelSpec(role=Role.BASE, weights=self.weights, precision=precision)
        self.precision = precision
        loader = next(offer.build() for offer in register_loaders() if offer.name == "diffusers")
        self.model = settle(loader.load(spec, precision, "cpu"))
        self.models = {spec: self.model}

    def plan(self, **changes: Any) -> Plan:
        node = {
            "width": changes.pop("width", 64),
            "height": changes.pop("height", 64),
            "prompt": changes.pop("prompt", "a red circle"),
            "negative_prompt": changes.pop("negative_prompt", ""),
            "num_inference_steps": changes.pop("steps", 4),
            "guidance_scale": changes.pop("guidance", 5.0),
            "strength": changes.pop("strength", 0.8),
            "image": changes.pop("image", None),
            "fit": changes.pop("fit", None),
        }
        bounds = Bounds(left=0, top=0, right=node["width"], bottom=node["height"])
        values: dict[str, Any] = {
            "size": 64, "seed": 7, "samples": 1, "scheduler": "ddim", "multi_scheduler": None,
            "chunking_size": 0, "chunking_blur": 0, "image_callback_steps": 10,
        } | changes  # fmt: skip
        return Plan(
            model=self.weights,
            width=node["width"],
            height=node["height"],
            prompt=node["prompt"],
            negative_prompt=node["negative_prompt"],
            nodes=(Node(bounds=bounds, **node),),
            precision=self.precision,
            **values,
        )

    def bench(self, **changes: Any) -> Bench:
        return Bench(plan=self.plan(**changes), models=self.models, precision=self.precision)

    def draw(self, **changes: Any) -> tuple[Image.Image, ...]:
        return self.run(self.bench(**changes))

    def run(self, bench: Bench) -> tuple[Image.Image, ...]:
        step = Diffuse(node=bench.plan.nodes[0], model=bench.plan.base(), why="draw")
        return CoreSteps().run_step(step, Frame(), bench).images


class Theirs:
    """The same folder, drawn with by diffusers' own pipelines."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        import diffusers

        self.xl = (folder / "text_encoder_2").exists()
        kinds = ("StableDiffusionXL", "Pipeline") if self.xl else ("StableDiffusion", "Pipeline")
        more = {} if self.xl else {"safety_checker": None, "requires_safety_checker": False}
        from_text = getattr(diffusers, "".join(kinds))
        from_image = getattr(diffusers, "Img2Img".join(kinds))
        self.from_text = from_text.from_pretrained(folder, local_files_only=True, torch_dtype=dtype, **more)
        parts = {k: v for k, v in self.from_text.components.items() if k != "image_encoder"}
        if not self.xl:
            more.pop("safety_checker")
        self.from_image = from_image(**parts, **more)
        for pipe in (self.from_text, self.from_image):
            pipe.set_progress_bar_config(disable=True)
        self.config = dict(self.from_text.scheduler.config)

    def draw(self, scheduler: str = "ddim", seed: int = 7, **arguments: Any) -> list[Image.Image]:
        spec = Offers().offer("schedulers", scheduler)
        pipe = self.from_image if "image" in arguments else self.from_text
        pipe.scheduler = spec.build({**self.config, **({spec.seed_key: seed} if spec.seed_key else {})})
        if "image" not in arguments:
            arguments = {"width": 64, "height": 64} | arguments
        values = {"prompt": "a red circle", "num_inference_steps": 4, "guidance_scale": 5.0} | arguments
        return pipe(generator=torch.Generator().manual_seed(seed), **values).images


def difference(ours: Any, theirs: Any) -> int:
    """Give the largest difference between two series of pictures, in levels of 255."""
    assert len(ours) == len(theirs)
    assert [one.size for one in ours] == [one.size for one in theirs]
    return max(
        int(np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16)).max())
        for one, other in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="session")
def pairs(request: pytest.FixtureRequest) -> Any:
    """Give, by a fixture's name of a folder, our engine and diffusers over it; loaded once."""
    made: dict[str, SimpleNamespace] = {}

    def pair(name: str) -> SimpleNamespace:
        if name not in made:
            folder = request.getfixturevalue(name)
            made[name] = SimpleNamespace(ours=Ours(folder), theirs=Theirs(folder), folder=folder)
        return made[name]

    return pair


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a smooth picture of 64 px and its reference."""
    rows, columns = np.mgrid[0:64, 0:64]
    levels = np.stack([rows * 4, columns * 4, 255 - (rows + columns) * 2], axis=-1).astype(np.uint8)
    image = Image.fromarray(levels)
    path = tmp_path_factory.mktemp("inputs") / "picture.png"
    image.save(path)
    return SimpleNamespace(
        image=image, ref=ImageRef(path=str(path), width=64, height=64, mode="RGB", sha256="0" * 64)
    )


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
