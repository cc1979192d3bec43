"""A host to plan against: the board's own registries, and weights that are only described."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from stretto.host import Family, ModelOffer, SchedulerSpec, UpscalerSpec, VaeSpec, WeightFile, WeightKind
from stretto.host.errors import BadRequestError, NotFoundError, did_you_mean
from stretto.host.plugboard.registry import KINDS, Registry
from stretto.host.settings import Folders, Settings

T = TypeVar("T")


def build(_: Any) -> Any:
    raise AssertionError("planning builds nothing")


def weights(name: str, family: Family | None, **more: Any) -> WeightFile:
    values = {
        "path": f"/models/{name}",
        "name": name,
        "kind": WeightKind.CHECKPOINT,
        "family": family,
        **more,
    }
    return WeightFile(**values)


MODELS = (
    weights("starter", Family.SD1, path="/plugins/starter/model", kind=WeightKind.DIFFUSERS),
    weights("sd1.safetensors", Family.SD1),
    weights("sd2.safetensors", Family.SD2, prediction_type="epsilon"),
    weights("sd2v.safetensors", Family.SD2, prediction_type="v_prediction"),
    weights("xl.safetensors", Family.SDXL),
    weights("own.safetensors", Family.SD1, size_px=640),
    weights("refiner.safetensors", Family.SDXL_REFINER),
    weights("fill.safetensors", Family.SD1, in_channels=9),
    weights("edit.safetensors", Family.SD1, in_channels=8),
    weights("odd.safetensors", None),
    weights("old.ckpt", None),
)


class View:
    """A HostView over the board's registries."""

    version = "0"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folders = Folders(Path("/nowhere"))
        self.registries: dict[str, Registry[Any]] = {name: Registry(kind) for name, kind in KINDS.items()}
        self.asked: list[tuple[str, Sequence[str]]] = []

    def offers(self, kind: str) -> Mapping[str, Any]:
        return self.registries[kind].specs()

    def offer(self, kind: str, name: str) -> Any:
        return self.registries[kind].get(name)

    def resolve_model(self, name: str, *, kinds: Sequence[str] = ()) -> WeightFile:
        self.asked.append((name, kinds))
        if name.startswith("/"):
            raise BadRequestError(f"Cannot find or access {name}")
        known = {file.name: file for file in MODELS}
        if name not in known:
            raise NotFoundError(f"there is no model '{name}'; {did_you_mean(name, tuple(known))}")
        return known[name]

    def resolve_vae(self, name: str) -> WeightFile:
        if name.startswith("/"):
            raise BadRequestError(f"Cannot find or access {name}")
        if name == "file.safetensors":
            return weights(name, None, kind=WeightKind.VAE)
        return weights(self.offer("vaes", name).files[0], None, kind=WeightKind.VAE)

    def plugin_settings(self, name: str, into: type[T]) -> T:
        raise AssertionError((name, into))

    def publish(self, event: Any) -> None:
        raise AssertionError(event)


@pytest.fixture
def view() -> View:
    view = View(Settings())
    for name in ("ddim", "eds", "heun", "dpmsm"):
        view.registries["schedulers"].add(
            SchedulerSpec(name=name, aliases=(f"{name}-alias",), build=build), "p"
        )
    for name in ("lanczos", "nearest", "bicubic"):
        view.registries["upscalers"].add(UpscalerSpec(name=name, build=build), "p")
    sd, xl = (Family.SD1, Family.SD2), (Family.SDXL,)
    view.registries["vaes"].add(
        VaeSpec(name="ema", aliases=("vae-ft-ema",), files=("ema.st",), families=sd), "p"
    )
    view.registries["vaes"].add(VaeSpec(name="xl", files=("xl.st",), families=xl, upcast=True), "p")
    offer = ModelOffer(
        name="starter",
        aliases=("first",),
        path="/plugins/starter/model",
        family=Family.SD1,
        size_px=128,
        defaults={"chunking_size": 64, "scheduler": "dpmsm"},
    )
    view.registries["models"].add(offer, "p")
    return view
