"""Patches are entered in the plan's order and undone in the other, whatever happens in between."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host.contracts.models import ModelSpec, Patch, Role, WeightFile, WeightKind
from stretto.host.contracts.plan import Plan
from stretto.host.contracts.protocols import LoadedModel
from stretto.host.contracts.specs import PatcherSpec
from stretto.host.engine.patching import patched
from stretto.host.errors import CancelledError, WeightsError


def file_of(name, kind=WeightKind.LORA):
    return WeightFile(path=f"/models/{name}", name=name, kind=kind)


@dataclass
class Recorder:
    """A patcher that writes down what is done with it."""

    said: list[str] = field(default_factory=list)

    def accepts(self, file):
        return file.kind is WeightKind.LORA

    @contextmanager
    def applied(self, model, patch, note):
        self.said.append(f"+{patch.file.name}")
        note(patch.file.name)
        try:
            yield model
        finally:
            self.said.append(f"-{patch.file.name}")


def bench_of(recorder: Recorder, *patches: Patch, stop_at: str = "") -> Any:
    base = file_of("base", WeightKind.DIFFUSERS)
    plan = Plan(
        model=base, size=64, width=64, height=64, seed=0, samples=1, prompt="", negative_prompt="", nodes=(),
        scheduler=None, multi_scheduler=None, chunking_size=0, chunking_blur=0, patches=patches,
    )  # fmt: skip
    spec = ModelSpec(role=Role.BASE, weights=base)
    model = LoadedModel(
        spec=spec, unet=None, vae=None, text_encoders=(), tokenizers=(), scheduler_config={}, options={}
    )
    notes: list[str] = []

    def tick(task, *, ticks):
        assert ticks == 0
        if stop_at and task.endswith(stop_at):
            raise CancelledError("stopped")

    offers = {"one": PatcherSpec(name="one", build=lambda: recorder)}
    host = SimpleNamespace(offers=lambda kind: offers if kind == "patchers" else {})
    return SimpleNamespace(
        plan=plan, model=lambda asked: model if asked.weights == base else None, tick=tick,
        note=notes.append, notes=notes, host=host, spec=spec, loaded=model, compiled=lambda _model: nullcontext(),
    )  # fmt: skip


def lora(name, weight=1.0):
    return Patch(kind=WeightKind.LORA, file=file_of(name), weight=weight)


def test_in_order_and_back():
    recorder = Recorder()
    bench = bench_of(recorder, lora("a"), lora("none", 0.0), lora("b", -1.0))
    with patched(bench.spec, bench) as model:
        assert model.patches == (lora("a"), lora("b", -1.0))
        assert recorder.said == ["+a", "+b"]
    assert recorder.said == ["+a", "+b", "-b", "-a"]
    assert bench.notes == ["a", "b"]


def test_without_patches_it_is_the_model_itself():
    bench = bench_of(Recorder(), lora("none", 0.0))
    with patched(bench.spec, bench) as model:
        assert model is bench.loaded


@pytest.mark.parametrize("stop_at", ["b", ""])
def test_undone_when_the_job_is_stopped(stop_at):
    recorder = Recorder()
    bench = bench_of(recorder, lora("a"), lora("b"), stop_at=stop_at)
    with pytest.raises(CancelledError), patched(bench.spec, bench):
        raise CancelledError("stopped later")
    assert recorder.said in (["+a", "-a"], ["+a", "+b", "-b", "-a"])


def test_a_refiner_is_not_changed():
    recorder = Recorder()
    bench = bench_of(recorder, lora("a"))
    refiner = ModelSpec(role=Role.REFINER, weights=bench.spec.weights)
    with patched(refiner, bench) as model:
        assert model.patches == ()
    assert not recorder.said


def test_a_file_that_nobody_reads():
    recorder = Recorder()
    odd = Patch(kind=WeightKind.UPSCALER, file=file_of("odd", WeightKind.UPSCALER))
    bench = bench_of(recorder, lora("a"), odd)
    with (
        pytest.raises(WeightsError, match=r"no patcher reads /models/odd .*patchers here: one"),
        patched(bench.spec, bench),
    ):
        raise AssertionError
    assert recorder.said == ["+a", "-a"]
