"""What is counted of jobs, models, engines and plugins, and how few labels there are."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from stretto.api.telemetry import OTHER, Telemetry
from stretto.host.contracts.costs import EngineUse, Measured, Spent, StageTook, TickTook
from stretto.host.contracts.events import (
    EngineBuilt,
    Failed,
    Finished,
    ModelEvicted,
    ModelLoaded,
    ModelMoved,
    Queued,
    Started,
    StepEased,
    StepProgress,
)
from stretto.host.errors import CancelledError


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(jobs=3, names=2)


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(name, labels)


def test_a_job_is_counted_from_queue_to_end(telemetry: Telemetry) -> None:
    for event in (
        Queued(job="a", at=10.0),
        Started(job="a", at=12.5),
        StepProgress(job="a", at=13.0, step=1, total=2),
        Queued(job="a", at=13.0),  # its worker died
        Started(job="a", at=13.5, attempt=2),
        Finished(job="a", at=17.5, images=("a_0.png", "a_1.png")),
    ):
        telemetry.hear(event)
    assert value(telemetry, "stretto_invocations_queued_total") == 2
    assert value(telemetry, "stretto_queue_wait_seconds_count") == 2
    assert value(telemetry, "stretto_queue_wait_seconds_sum") == 3.0
    assert value(telemetry, "stretto_invocation_restarts_total") == 1
    assert value(telemetry, "stretto_invocations_total", outcome="completed") == 1
    assert value(telemetry, "stretto_invocation_duration_seconds_sum", outcome="completed") == 4.0
    assert value(telemetry, "stretto_images_total") == 2


def test_what_ends_badly_is_told_from_what_is_stopped(telemetry: Telemetry) -> None:
    telemetry.hear(Queued(job="a", at=1.0))
    telemetry.hear(Failed(job="a", at=2.0, title=CancelledError.title))
    for job, title in (("b", "EngineError"), ("c", "OutOfMemoryError"), ("d", "Third"), ("e", "Fourth")):
        telemetry.hear(Started(job=job, at=1.0))
        telemetry.hear(Failed(job=job, at=2.0, title=title))
    assert value(telemetry, "stretto_invocations_total", outcome="stopped") == 1
    assert value(telemetry, "stretto_invocations_total", outcome="failed") == 4
    assert value(telemetry, "stretto_invocation_failures_total", error="OutOfMemoryError") == 1
    assert value(telemetry, "stretto_invocation_failures_total", error=OTHER) == 2
    assert value(telemetry, "stretto_invocation_duration_seconds_count", outcome="stopped") is None


def test_stages_steps_plugins_and_engines_come_with_a_jobs_end(telemetry: Telemetry) -> None:
    telemetry.hear(
        Measured(
            job="a",
            stages=(StageTook(kind="Diffuse", seconds=2.0), StageTook(kind="RemoveBackground", seconds=0.5)),
            ticks=(TickTook(kind="Diffuse", seconds=0.25, count=4), TickTook(kind="Diffuse", seconds=1.0)),
            plugins=(Spent(plugin="p", hook="run_step", calls=2, seconds=0.5, failures=1, overruns=3),),
            engine=EngineUse(compiler="onnxruntime", used=("unet", "vae_decoder"), missed=1),
        )
    )
    assert value(telemetry, "stretto_stage_duration_seconds_sum", stage="diffuse") == 2.0
    assert value(telemetry, "stretto_stage_duration_seconds_count", stage="remove_background") == 1
    assert value(telemetry, "stretto_step_duration_seconds_count", stage="diffuse") == 5
    assert value(telemetry, "stretto_step_duration_seconds_sum", stage="diffuse") == 2.0
    hook = {"plugin": "p", "hook": "run_step"}
    assert value(telemetry, "stretto_plugin_calls_total", **hook) == 2
    assert value(telemetry, "stretto_plugin_seconds_total", **hook) == 0.5
    assert value(telemetry, "stretto_plugin_failures_total", **hook) == 1
    assert value(telemetry, "stretto_plugin_overruns_total", **hook) == 3
    assert value(telemetry, "stretto_engine_hits_total", compiler="onnxruntime", component="unet") == 1
    assert value(telemetry, "stretto_engine_misses_total", compiler="onnxruntime") == 1


def test_engines_and_models(telemetry: Telemetry) -> None:
    telemetry.hear(EngineBuilt(job="", compiler="tensorrt", component="unet", state="verified", seconds=42.0))
    telemetry.hear(ModelLoaded(job="", model="/srv/private/models/cats.safetensors", seconds=1.5))
    telemetry.hear(ModelMoved(job="", model="starter", device="cpu"))
    telemetry.hear(ModelEvicted(job="", model="starter", why="because"))
    telemetry.hear(StepEased(job="", task="draw", rung="tiles"))
    labels = {"compiler": "tensorrt", "component": "unet", "state": "verified"}
    assert value(telemetry, "stretto_engine_builds_total", **labels) == 1
    assert value(telemetry, "stretto_engine_build_duration_seconds_sum", compiler="tensorrt") == 42.0
    assert value(telemetry, "stretto_model_loads_total", model="cats.safetensors") == 1
    assert value(telemetry, "stretto_model_load_duration_seconds_sum") == 1.5
    assert value(telemetry, "stretto_model_moves_total", model="starter") == 1
    assert value(telemetry, "stretto_model_evictions_total", model="starter") == 1
    assert value(telemetry, "stretto_stages_eased_total") == 1


def test_labels_and_memory_stay_bounded(telemetry: Telemetry) -> None:
    for index in range(50):
        telemetry.hear(ModelLoaded(job="", model=f"model-{index}"))
        telemetry.hear(Queued(job=str(index), at=1.0))
        telemetry.hear(Started(job=str(index), at=1.0))
    names = {
        sample.labels["model"]
        for family in telemetry.registry.collect()
        for sample in family.samples
        if family.name == "stretto_model_loads"
    }
    assert names == {"model-0", "model-1", OTHER}
    assert value(telemetry, "stretto_model_loads_total", model=OTHER) == 48
    telemetry.hear(Finished(job="0", at=2.0))  # forgotten, and counted all the same
    assert value(telemetry, "stretto_invocations_total", outcome="completed") == 1
    assert value(telemetry, "stretto_invocation_duration_seconds_count", outcome="completed") is None


def test_two_servers_count_by_themselves(telemetry: Telemetry) -> None:
    other = Telemetry()
    telemetry.hear(StepEased(job="", task="draw", rung="tiles"))
    assert value(other, "stretto_stages_eased_total") == 0


def test_counting_is_safe_from_several_threads(telemetry: Telemetry) -> None:
    count = telemetry.route("GET", "/api")

    def work() -> Any:
        for index in range(200):
            count(200, 0.001)
            telemetry.hear(ModelLoaded(job="", model=f"model-{index}"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(telemetry, "stretto_http_requests_total", method="GET", route="/api", status="200") == 800
    loads = [
        sample.value
        for family in telemetry.registry.collect()
        for sample in family.samples
        if sample.name == "stretto_model_loads_total"
    ]
    assert sum(loads) == 800
