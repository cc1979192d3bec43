"""What checks work on: tiny models, the starter, pictures; each is made when it is first asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ...contracts.models import Family, ModelSpec, Precision, Role, WeightFile
from ..hosts import opened_host
from ..trial import Plugin
from .report import SkippedError

if TYPE_CHECKING:
    from PIL.Image import Image

    from ...contracts.protocols import LoadedModel
    from ...runtime.host import Host

__all__ = ["Supplies", "picture"]

STARTER = "starter"


class Supplies:
    """Everything over one folder, from `with` to its end; several `assert_conforms` may share it."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)
        self._closers = ExitStack()
        self._root: Path | None = None
        self._host: Host | None = None
        self._loaded: dict[str, LoadedModel] = {}
        self.imports: dict[tuple[str, str], list[str]] = {}  # what importing a module pulled in
        self.apart: tuple[str, str] | None = (
            None  # the module and file of the isolated plugin that is checked
        )
        self.processes: Callable[[], tuple[int, ...]] = tuple  # whose memory counts beside this one's

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loaded.clear()
        self._host = None
        self._closers.close()

    @property
    def root(self) -> Path:
        """Give a folder that goes away at the end."""
        if self._root is None:
            self._root = Path(self._closers.enter_context(TemporaryDirectory(prefix="stretto-kit-")))
        return self._root

    def folder(self, word: str) -> Path:
        """Make an empty folder with that word in its name."""
        return Path(mkdtemp(prefix=f"{word}-", dir=self.root))

    @property
    def host(self) -> Host:
        """Give a host with the built-in plugins and those on trial; raises PluginError for one that is not on."""
        if self._host is None:
            self._host = self._closers.enter_context(opened_host(self.root / "host", plugins=self._plugins))
        return self._host

    def tiny(self, family: Family) -> Path:
        """Give the folder of a tiny random model of that family, 64 px, which the host knows too."""
        from .. import tiny

        makers = {
            Family.SD1: tiny.make_tiny_sd1,
            Family.SD2: tiny.make_tiny_sd2,
            Family.SDXL: tiny.make_tiny_sdxl,
            Family.SDXL_REFINER: tiny.make_tiny_refiner,
        }
        return makers[family](self.host.folders.model_folder("diffusers") / f"tiny-{family}")

    def scheduler_config(self, family: Family) -> Mapping[str, Any]:
        """Give the scheduler's keys as that family's models have them."""
        file = self.tiny(family) / "scheduler" / "scheduler_config.json"
        config: dict[str, Any] = json.loads(file.read_text("utf-8"))
        return config

    def loaded(self, family: Family) -> LoadedModel:
        """Give a tiny model in float32 on the CPU, always the same one: leave it as it was."""
        return self._load(str(self.tiny(family)))

    def starter(self) -> LoadedModel:
        """Give the model that ships, always the same one; raises SkippedError where it is not there."""
        if STARTER not in self.host.offers("models"):
            raise SkippedError("the starter's weights are not in this installation")
        return self._load(STARTER)

    def _load(self, name: str) -> LoadedModel:
        if name not in self._loaded:
            weights = self.host.resolve_model(name)
            self._loaded[name] = self.load(ModelSpec(role=Role.BASE, weights=weights))
        return self._loaded[name]

    def load(self, spec: ModelSpec) -> LoadedModel:
        """Load anew by the first loader that accepts the weights, in float32 on the CPU."""
        loader = self.loader_of(spec.weights)
        loaded: LoadedModel = loader.load(spec, Precision.FLOAT32, "cpu")
        return loaded

    def loader_of(self, weights: WeightFile) -> Any:
        """Give the first loader that accepts the weights; raises SkippedError where there is none."""
        for offer in self.host.offers("loaders").values():
            loader = offer.build()
            if loader.accepts(weights):
                return loader
        raise SkippedError(f"no loader takes {weights.path}")


def picture(size: tuple[int, int], mode: str = "RGB", seed: int = 0) -> Image:
    """Paint shapes and noise, always the same; `size` is (width, height), the mode any of Pillow's."""
    import numpy as np
    from PIL import Image as Pictures
    from PIL import ImageDraw

    width, height = size
    drawn = np.random.default_rng(seed).integers(96, 160, (height, width, 3), dtype=np.uint8)
    image = Pictures.fromarray(drawn)
    pen = ImageDraw.Draw(image)
    pen.ellipse((width // 8, height // 8, width // 2, height // 2), fill=(220, 40, 30))
    pen.rectangle((width // 2, height // 2, width - 1, height - 1), fill=(20, 60, 200))
    if mode == "RGBA":
        clear = Pictures.linear_gradient("L").resize(size)
        image.putalpha(clear)
    return image.convert(mode)
