"""Compiled engines as the API and the commands show them: for whose weights they are, and which stored model takes them."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stretto.host.catalog.digests import Digests
from stretto.host.catalog.probe import SUFFIXES
from stretto.host.errors import BadRequestError, NotFoundError, StrettoError
from stretto.host.planning.acceleration import NONE
from stretto.host.runtime.targets import foreign
from stretto.trt_cache.faults import ArchiveError, BusyError, CacheError, UnknownEngineError
from stretto.trt_cache.manifest import About, Manifest, Source, State
from stretto.trt_cache.store import EngineStore, StoredEngine

if TYPE_CHECKING:
    from stretto.host.contracts.models import WeightFile
    from stretto.host.runtime.host import Host
    from stretto.trt_cache.keys import EngineKey

    from .models import StoredModel

__all__ = ["Engines", "as_refiner", "engine_type", "in_our_words", "model_name"]

# the contract's words where it has one; the other components go by their own
TYPES = {"controlled_unet": "controlledunet", "text_encoder": "clip", "text_encoder_2": "clip2"}
ADAPTERS = ("lora", "lycoris", "inversion")
CELL_PX = 8
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
# which adapters change a component's weights; none but these
CHANGED_BY = {
    "unet": ("lora", "lycoris"),
    "controlled_unet": ("lora", "lycoris"),
    "text_encoder": ADAPTERS,
    "text_encoder_2": ADAPTERS,
}


def in_our_words(error: CacheError) -> StrettoError:
    """Give the host's error for one of the cache's."""
    from stretto.host.errors import ConfigurationError, StateConflictError

    match error:
        case UnknownEngineError():
            return NotFoundError(str(error))
        case ArchiveError():
            return BadRequestError(str(error))
        case BusyError():
            return StateConflictError(str(error))
    return ConfigurationError(str(error))


def engine_type(component: str) -> str:
    """Give the contract's word for a component: `unet`, `controlledunet`, `clip`, or our own."""
    return TYPES.get(component, component)


def model_name(about: About) -> str:
    """Give the model's name without folders and suffix, as the contract's `model` has it."""
    path = Path(about.model)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def as_refiner(model: StoredModel) -> StoredModel:
    """Give a stored model as its refiner is drawn with: without VAE and adapters, by the same engines."""
    return replace(model, parts=type(model.parts)(config=model.parts.config))


class Engines:
    """The engines of one host, held against the weights and the stored models that it has now."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._digests = Digests(host.folders.root / "cache" / "sha256.json")
        self._elsewhere: dict[str, bool] = {}  # targets that are not this machine
        self._versions: dict[str, str | None] = {}  # of the compilers that work here
        self.store = EngineStore(host.folders.engines)

    def listed(self, models: Iterable[StoredModel]) -> list[dict[str, Any]]:
        """Give the contract's row of every engine, with its compiler, target and state."""
        stored, engines = list(models), self.store.all()
        return [self._row(engine, stored) for engine in engines]

    def find(self, model: str, kind: str, key: str) -> StoredEngine:
        """Find an engine by the contract's words; raises NotFoundError."""
        for engine in self.store.all():
            about, component = engine.manifest.model, engine.key.component
            named = model in (about.model, model_name(about))
            if engine.digest == key and named and kind.lower() in (component, engine_type(component)):
                return engine
        raise NotFoundError(f"Couldn't find {kind} TensorRT engine for {model} with key {key}")

    def orphaned(self, manifest: Manifest) -> bool:
        """Say whether weights of an engine are here no more, or others stand in their place; reads files once.

        Weights that are elsewhere now are looked for by their name. Raises OSError for what cannot be read.
        """
        return any(not self._is_here(source) for source in manifest.model.sources)

    def ready(self, weights: WeightFile, model: StoredModel, size_px: int) -> set[str]:
        """Give the components that have an engine for this machine, these weights, this size and these adapters.

        Engines that failed their check or are damaged do not count, nor those of another compiler, policy of sizes
        or version of a library than the model would draw with; those that have not run yet do. What precision it
        is drawn in, the drawing process decides: an engine of another one counts.
        """
        found = set()
        for engine in self.store.all():
            component = engine.key.component
            if component not in found and self._serves(engine, weights, model, size_px):
                found.add(component)
        return found

    # -- inside --------------------------------------------------------------------------------

    def _row(self, engine: StoredEngine, models: list[StoredModel]) -> dict[str, Any]:
        about = engine.manifest.model
        used_by = [model.name for model in models if self._takes(model, engine)]
        return {
            "key": engine.digest,
            "type": engine_type(engine.key.component),
            "model": model_name(about),
            "lora": _adapters(about, "lora"),
            "lycoris": _adapters(about, "lycoris"),
            "inversion": [one.name for one in about.of("inversion")],
            "used": bool(used_by),
            "used_by": used_by,
            "size": about.size_px,
            "bytes": engine.manifest.size_bytes,
            "compiler": engine.key.compiler,
            "target": engine.key.target,
            "state": engine.state.value,
        }

    def _takes(self, model: StoredModel, engine: StoredEngine) -> bool:
        """Say whether a stored model's base, inpainting model or refiner would draw with an engine."""
        parts = model.parts
        base = Path(model.model)
        inpainter = parts.inpainter or f"{base.stem}-inpainting{base.suffix}"
        drawing = [(model.model, model, model.size), (inpainter, model, parts.inpainter_size or model.size)]
        if parts.refiner:
            drawing.append((parts.refiner, as_refiner(model), parts.refiner_size or model.size))
        for name, drawn, size_px in drawing:
            try:
                weights = self._host.resolve_model(name)
            except StrettoError:  # not here, so it draws with nothing
                continue
            if self._serves(engine, weights, drawn, size_px):
                return True
        return False

    def _serves(self, engine: StoredEngine, weights: WeightFile, model: StoredModel, size_px: int) -> bool:
        key, about = engine.key, engine.manifest.model
        if engine.state not in (State.VERIFIED, State.UNVERIFIED) or self._foreign(key.target):
            return False
        if not self._is_asked(key, model):
            return False
        cells = -(-size_px // CELL_PX)
        if any(not span.holds(cells) for name, span in key.axes if name in ("height", "width")):
            return False
        kinds = CHANGED_BY.get(key.component, ())
        wanted = Counter(self._asked(model, kinds))
        built = Counter(
            (kind, source.sha256, source.weight)
            for kind in kinds
            for source in about.of(kind)
            if source.weight
        )
        return wanted == built and self._holds(about, weights, model, key.component)

    def _is_asked(self, key: EngineKey, model: StoredModel) -> bool:
        """Say whether an engine is the compiler's that a model draws with, of its policy, and of the library here."""
        config = model.parts.config
        word = config.get("acceleration") or self._host.settings.acceleration
        if word and self._compiler(str(word)) != key.compiler:
            return False
        policy = config.get("engine_profile")
        sided = any(name in ("height", "width") for name, _ in key.axes)  # a text encoder's have none
        if policy is not None and sided and key.static is not (policy == "static"):
            return False
        if key.compiler not in self._versions:
            spec = self._host.offers("compilers").get(key.compiler)
            here = spec is not None and spec.missing() is None
            self._versions[key.compiler] = spec.build().version() if spec is not None and here else None
        return self._versions[key.compiler] == key.version

    def _compiler(self, word: str) -> str | None:
        """Give a compiler's own name; None for torch, and for one that no plugin offers any more."""
        try:
            return None if word == NONE else str(self._host.offer("compilers", word).name)
        except NotFoundError:
            return None

    def _foreign(self, target: str) -> bool:
        if target not in self._elsewhere:  # asking the driver takes milliseconds
            self._elsewhere[target] = foreign(target) is not None
        return self._elsewhere[target]

    def _asked(self, model: StoredModel, kinds: Iterable[str]) -> Iterator[tuple[str, str, float]]:
        rows: Mapping[str, list[dict[str, Any]]] = {
            kind: getattr(model.parts, kind) for kind in kinds if kind in ADAPTERS
        }
        for kind, adapters in rows.items():
            for row in adapters:
                weight = 1.0 if row.get("weight") is None else float(row["weight"])
                if weight:
                    yield kind, self._named(str(row["model"]), kind), weight

    def _holds(self, about: About, weights: WeightFile, model: StoredModel, component: str) -> bool:
        """Say whether an engine holds the weights of a model, or of the VAE that is asked for instead of its own."""
        vaes = about.of("vae")
        if component.startswith("vae") and (vaes or model.parts.vae):
            asked = self._named(model.parts.vae, "vae") if model.parts.vae else ""
            return [vae.sha256 for vae in vaes] == [asked]
        sources = about.of("model")
        files = [weights]
        if weights.parts_from is not None and not component.endswith("unet"):
            files.append(weights.parts_from)  # where a UNet alone has its VAE and text encoders from
        return bool(sources) and all(self._is_of(source, files) for source in sources)

    def _is_of(self, source: Source, files: Iterable[WeightFile]) -> bool:
        """Say whether a source is one of these weights, or a folder in them."""
        return any(
            self._read(place) == source.sha256 for file in files for place in _places(Path(file.path), source)
        )

    def _named(self, name: str, kind: str) -> str:
        """Give the SHA-256 of weights by their name; "" for what is not here."""
        try:
            host = self._host
            file = host.resolve_vae(name) if kind == "vae" else host.resolve_model(name, kinds=(kind,))
        except StrettoError:
            return ""
        return self._read(Path(file.path))

    def _is_here(self, source: Source) -> bool:
        kinds = () if source.kind in ("model", "difference") else (source.kind,)
        for word in (source.path, source.name):
            try:
                file = self._host.library.resolve(word, kinds)
            except StrettoError:  # no such weights any more, or none in the model folders
                continue
            if any(self._read(place) == source.sha256 for place in _places(Path(file.path), source)):
                return True
        return False

    def _read(self, path: Path) -> str:
        """Give the SHA-256 of a file or a folder's weights; "" where there is none."""
        try:
            return self._digests.of(path)
        except ValueError:  # a null byte in the name
            return ""
        except OSError as error:
            if error.errno not in NOWHERE:
                raise
            return ""


def _places(root: Path, source: Source) -> list[Path]:
    """Give the places of a source in weights: where it was, or else all of them, and the part of its name.

    A manifest may come from elsewhere: nothing outside the weights is ever a place.
    """
    path = Path(source.path)
    if path.is_relative_to(root) and ".." not in path.parts:
        return [path]
    return [root] if path.name in ("", "..") else [root, root / path.name]


def _adapters(about: About, kind: str) -> list[dict[str, Any]]:
    return [{"model": one.name, "weight": one.weight} for one in about.of(kind)]
