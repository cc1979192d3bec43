"""Compiled engines in the place of networks: known by their key, found or built, checked, and called.

Whatever stands in the way, torch does the work, and the job's record says why.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from stretto.trt_cache.keys import EngineKey
from stretto.trt_cache.kin import nearest_kin
from stretto.trt_cache.store import About, CacheError, EngineStore, Source, State, StoredEngine

from ..contracts.acceleration import Acceleration, Build
from ..contracts.engines import Compiler, Component, ParityReport, Profile
from ..contracts.events import EngineBuilt
from ..contracts.models import WeightFile
from ..contracts.plan import Plan
from ..contracts.protocols import HostView, LoadedModel
from ..contracts.specs import CompilerSpec
from ..errors import (
    EngineBuildError,
    EngineOpenError,
    OutOfMemoryError,
    PluginError,
    UnsupportedError,
    no_target,
)
from .asked import engine_precision, obstacle, wanted
from .bound import TEXTS, Bound, Hearing, swapped
from .device import out_of_memory_said
from .exports import Exports
from .finding import find_engine, flags_of, policy_of
from .gate import DRAWN_DB, check_engine, drawn_psnr_db
from .graph_digest import architecture_digest, graph_digest
from .graphs import Graph, network, present
from .profiles import is_windowed, profile_of, window_px
from .refitting import refitted

__all__ = ["Engines", "Order", "Teller", "wanted"]

OPEN = 8  # engines that stay open; an engine takes about as much memory as the weights in it
Report = Callable[[str, float | None], None]
# what keeps an engine from serving, while torch can
_OBSTACLES = (EngineBuildError, EngineOpenError, UnsupportedError, PluginError)
logger = logging.getLogger(__name__)
# what a picture of a prompt alone goes through
_DRAWING = {Component.UNET, Component.VAE_DECODER, *TEXTS}
_UNETS = (Component.UNET, Component.CONTROLLED_UNET)


class Teller(Protocol):
    """Hears what became of an acceleration, for the job's record, and how far a build is."""

    def compiled_did(self, component: Component) -> None:
        """Hear that an engine did the work of a component."""

    def torch_did(self, why: str) -> None:
        """Hear why torch did what was asked of an engine."""

    def windowed(self, component: Component, size_px: int) -> None:
        """Hear that an engine of one size draws what is larger in windows of that size."""

    def missed(self, model: LoadedModel, component: Component) -> None:
        """Hear that there is no engine for a component, and that it could be built here."""

    def building(self, phase: str, share: float | None) -> None:
        """Hear how far a build is, 0 to 1 where that is known; may raise to end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One engine, as it is asked for: what is to be compiled, by whom, and its key."""

    graph: Graph
    compiler: Compiler
    profile: Profile
    key: EngineKey
    size_px: int

    @property
    def component(self) -> Component:
        """Give what is compiled."""
        return self.graph.component


class Engines:
    """The engines of one process, the open ones by digest; used by one thread."""

    def __init__(
        self, host: HostView, store: EngineStore, device: str, digest_of: Callable[[WeightFile], str]
    ) -> None:
        self.builds_beside = (
            False  # what drawing misses is built by another process, however it was asked for
        )
        self.store = store
        self._host = host
        self._device = device
        self._digest_of = digest_of
        self._compilers: dict[str, Compiler] = {}
        self._open: OrderedDict[str, Bound] = OrderedDict()
        self._exports = Exports(store)

    def close(self) -> None:
        """Close every engine; idempotent."""
        self._exports.close()
        while self._open:
            _, bound = self._open.popitem()
            bound.engine.close()

    @contextmanager
    def swapped(self, model: LoadedModel, plan: Plan, teller: Teller) -> Iterator[None]:
        """Put the engines that the plan asks for in the place of the model's networks, while this lasts.

        Those that are missing are built first where the plan says so and nobody else builds. Raises what
        `teller.building` does.
        """
        asked = plan.acceleration
        why = None if asked is None else obstacle(model, plan)
        if asked is None or why is not None:
            if why is not None:
                teller.torch_did(why)
            yield
            return
        engines = []
        for component in wanted(plan, model):
            try:
                with out_of_memory_said(f"opening the engine of the {component}"):
                    engines.append(self._ready(model, component, asked, plan, teller))
            except _OBSTACLES as error:
                teller.torch_did(f"{component}: {error}")
            except OutOfMemoryError:
                teller.torch_did(f"{component}: the memory is full, and its engine would take more of it")
        engines += self._readers(model, plan, asked.requested, teller)
        broken: list[Bound] = []
        try:
            with swapped(model, engines, Hearing(teller.compiled_did, teller.torch_did, broken.append)):
                yield
        finally:
            self._dropped(broken)

    def order(self, model: LoadedModel, build: Build, size_px: int) -> Order:
        """Say what is to be built for windows of `size_px` pixels.

        Raises UnsupportedError for a component, a precision or a target that is not compiled.
        """
        component, name, target = build.component, build.compiler, build.target
        spec: CompilerSpec = self._host.offer("compilers", name)
        if component not in spec.components:
            raise UnsupportedError(
                f"'{name}' does not compile {component}; it compiles {', '.join(spec.components)}"
            )
        if component not in present(model):
            raise UnsupportedError(
                f"the model has no {component} that can be compiled; it has {', '.join(present(model))}"
            )
        if why := spec.missing():
            raise UnsupportedError(f"'{name}' cannot work here: {why}")
        if name not in self._compilers:
            self._compilers[name] = spec.build()
        compiler = self._compilers[name]
        if target is not None and target not in compiler.targets():
            raise UnsupportedError(no_target(name, target, compiler.targets()))
        graph = network(model, component, self.store.root, engine_precision(model, component, spec))
        here = target or compiler.target(self._device)
        profile = profile_of(build.profile or policy_of(spec, here), component, size_px)
        key = EngineKey(
            component=component,
            graph=graph_digest(model, component, self._digest_of),
            axes=tuple(profile.items()),
            precision=graph.precision,
            compiler=name,
            version=compiler.version(),
            target=here,
            flags=flags_of(compiler, here)[0],
        )
        return Order(graph=graph, compiler=compiler, profile=profile, key=key, size_px=size_px)

    def built(self, model: LoadedModel, build: Build, size_px: int, report: Report) -> EngineBuilt:
        """Build what a plan asks for unless it is there, verify it where it can run, and say what it is.

        Raises UnsupportedError, EngineBuildError, EngineOpenError for one that fails its check, and what
        `report` raises.
        """
        order = self.order(model, build, size_px)
        stored = self.build(order, self._about(model, order), report, keep=True)
        why = order.compiler.unable(order.key.target, self._device)
        if why is None:
            self.serving(order, model, stored)
        return EngineBuilt(
            job="",
            component=order.component,
            compiler=order.key.compiler,
            target=order.key.target,
            digest=stored.digest,
            state=State.VERIFIED if why is None else stored.state,
            why=why or "",
            seconds=stored.manifest.build_s,
            size_bytes=stored.manifest.size_bytes,
        )

    def build(self, order: Order, about: About, report: Report, *, keep: bool = False) -> StoredEngine:
        """Build an engine that is not in the store; `keep` leaves the export for another target of the same network.

        Raises EngineBuildError, and what `report` raises.
        """
        runs = order.compiler.unable(order.key.target, self._device) is None
        kin = nearest_kin(self.store.all(), order.key, about.architecture) if runs else None
        # an engine that runs on this CPU is itself held against torch there
        check = not (runs and self._device == "cpu")

        def build(out: Path) -> dict[str, Any] | None:
            with self._exports.of(order.graph, order.key.graph, keep=keep, check=check) as graph:
                if not refitted(order.compiler, graph, kin, out, report):
                    order.compiler.build(graph, order.profile, order.key.target, out, report)
                done = graph.export.report if graph.export else None
            return done.to_json() if done else None

        try:
            return self.store.get_or_build(order.key, build, about)
        except CacheError as error:
            raise EngineBuildError(f"the {order.component} is not kept: {error}") from error
        except OSError as error:
            raise self._unkept(order, error) from error
        except PluginError as error:
            if isinstance(error.__cause__, OSError):
                raise self._unkept(order, error.__cause__) from error
            raise EngineBuildError(f"the {order.component}: {error}") from error

    def serving(self, order: Order, model: LoadedModel, stored: StoredEngine) -> Bound:
        """Open an engine; one that was never verified is first held against torch.

        Raises EngineOpenError for one that failed, now or before, or that cannot be opened here.
        """
        if stored.state is State.DAMAGED:
            raise EngineOpenError(f"the engine {stored.digest[:12]} is damaged ({stored.why}); build it anew")
        if stored.state is State.QUARANTINED:
            raise EngineOpenError(f"the engine {stored.digest[:12]} failed its check: {_said(stored)}")
        if why := order.compiler.unable(order.key.target, self._device):
            raise EngineOpenError(f"the engine {stored.digest[:12]} cannot run here: {why}")
        bound = self._opened(order, stored)
        if stored.state is State.UNVERIFIED:
            try:
                report = self._checked(order, model, bound)
            except Exception:  # a full device, say, which says nothing of the engine
                self._closed(stored.digest)
                raise
            if not report.passed:
                self._closed(stored.digest)
                self.store.quarantine(stored.digest, report.to_json())
                raise EngineOpenError(f"the engine {stored.digest[:12]} failed its check: {report.why}")
            self.store.set_parity(stored.digest, report.to_json(), State.VERIFIED)
        self.store.used(stored.digest)
        return bound

    # -- inside --------------------------------------------------------------------------------

    def _ready(
        self, model: LoadedModel, component: Component, asked: Acceleration, plan: Plan, teller: Teller
    ) -> Bound:
        size_px = window_px(plan, model.spec.role)
        build = Build(component=component, compiler=asked.requested, profile=plan.engine_profile)
        order = self.order(model, build, size_px)
        order, stored = self._found(order, plan.engine_profile)
        if stored is None or stored.state is State.DAMAGED:
            why = order.compiler.unable(order.key.target, self._device)
            if asked.build and why:
                raise EngineOpenError(f"what would be built cannot run here: {why}")
            if not asked.build or self.builds_beside:
                if why is None:
                    teller.missed(model, component)
                by = (
                    "" if asked.build else "; `build_tensorrt` builds it, and so does `stretto engines build`"
                )
                raise EngineOpenError(
                    ("the engine on disk is damaged" if stored else "there is no engine for it yet") + by
                )
            stored = self.build(order, self._about(model, order), teller.building)
        bound = self.serving(order, model, stored)
        if component in _UNETS and order.key.static and is_windowed(plan, model.spec.role):
            teller.windowed(component, size_px)
        return bound

    def _found(self, order: Order, policy: str | None) -> tuple[Order, StoredEngine | None]:
        """Find the engine of an order; where another one stands in its place, that one is ordered then."""
        stored = find_engine(self.store, order.key, order.compiler, policy)
        if stored is None or stored.key == order.key:
            return order, stored
        return replace(order, key=stored.key, profile=dict(stored.key.axes)), stored

    def _about(self, model: LoadedModel, order: Order) -> About:
        spec = model.spec
        files: list[tuple[str, WeightFile, float | None]] = [("model", spec.weights, None)]
        files += [("vae", spec.vae, None)] if spec.vae else []
        if spec.difference:
            files += [("difference", file, None) for file in (spec.difference.model, spec.difference.base)]
        files += [(str(patch.kind), patch.file, patch.weight) for patch in model.patches]
        sources = [
            Source(
                kind=kind,
                name=file.name or file.path,
                path=file.path,
                sha256=self._digest_of(file),
                weight=weight,
            )
            for kind, file, weight in files
        ]
        return About(
            model=spec.weights.name or spec.weights.path,
            size_px=order.size_px,
            sources=tuple(sources),
            device=torch.cuda.get_device_name() if self._device.startswith("cuda") else self._device,
            host=self._host.version,
            architecture=architecture_digest(model, order.component),
        )

    def _readers(self, model: LoadedModel, plan: Plan, name: str, teller: Teller) -> Iterator[Bound]:
        """Give the text encoders that have engines; they are few of the work, so that none is missed."""
        spec: CompilerSpec = self._host.offer("compilers", name)
        readers = () if spec.missing() else TEXTS.intersection(spec.components, present(model))
        for component in readers:
            try:
                order = self.order(model, Build(component=component, compiler=name), plan.size)
                order, stored = self._found(order, plan.engine_profile)
                if stored is None:
                    continue
                with out_of_memory_said(f"opening the engine of the {component}"):
                    bound = self.serving(order, model, stored)
            except _OBSTACLES as error:
                teller.torch_did(f"{component}: {error}")
            except OutOfMemoryError:
                teller.torch_did(f"{component}: the memory is full, and its engine would take more of it")
            else:
                yield bound

    def _opened(self, order: Order, stored: StoredEngine) -> Bound:
        if stored.digest not in self._open:
            while len(self._open) >= OPEN:
                self._closed(next(iter(self._open)))
            engine = order.compiler.open(stored.path / "engine", order.graph, order.profile, self._device)
            self._open[stored.digest] = Bound(
                component=order.component, engine=engine, inputs=order.graph.inputs, profile=order.profile
            )
        self._open.move_to_end(stored.digest)
        return self._open[stored.digest]

    def _unkept(self, order: Order, error: OSError) -> EngineBuildError:
        return EngineBuildError(
            f"the {order.component} cannot be kept in {self.store.root}: {error.strerror or error}; "
            "free some disk, or name another folder with --engine-dir"
        )

    def _dropped(self, broken: Sequence[Bound]) -> None:
        """Close engines that failed; the next job opens them anew."""
        for digest in [digest for digest, one in self._open.items() if any(one is each for each in broken)]:
            try:
                self._closed(digest)
            except Exception:  # torch drew what it did not
                logger.warning("the engine %s failed, and cannot be closed", digest[:12], exc_info=True)

    def _closed(self, digest: str) -> None:
        self._open.pop(digest).engine.close()

    def _checked(self, order: Order, model: LoadedModel, bound: Bound) -> ParityReport:
        report = check_engine(bound, order.graph)
        # an inpainting UNet is told what is around the mask, a ControlNet draws nothing
        channels = model.unet.config.in_channels, model.unet.config.out_channels
        alone = order.component in _DRAWING and channels[0] == channels[1]
        if not report.passed or not alone:
            return report
        spec = self._host.offer("schedulers", model.scheduler_config["_class_name"])
        scheduler = spec.build(dict(model.scheduler_config))
        try:
            psnr_db = drawn_psnr_db(model, [bound], scheduler, order.size_px)
        except EngineOpenError as error:
            return replace(report, passed=False, why=f"a picture of ten steps: {error}")
        passed = psnr_db >= DRAWN_DB
        why = (
            ""
            if passed
            else f"a picture of ten steps is {psnr_db:.1f} dB from torch's, the bound is {DRAWN_DB}"
        )
        return replace(report, psnr_db=psnr_db, passed=passed, why=why)


def _said(stored: StoredEngine) -> str:
    return str((stored.manifest.parity or {}).get("why", "no reason is recorded"))
