"""Builds beside pictures: a queue and a process of their own, stopped, killed, and asked for by what drew."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host.contracts.acceleration import Acceleration, Build
from stretto.host.contracts.engines import Component
from stretto.host.contracts.ports import Job, JobStatus
from stretto.host.contracts.specs import CompilerSpec
from stretto.host.errors import BadRequestError, TooManyRequestsError, UnsupportedError
from stretto.host.planning.building import builds_of, pick_compiler, plan_build
from stretto.host.runtime.bench import TERMINATED
from stretto.host.runtime.build_store import BuildJob, BuildStore

UNET = Build(component=Component.UNET, compiler="onnxruntime")
OVER = (JobStatus.COMPLETED, JobStatus.ERROR)


@pytest.fixture
def build_plan(plan_of: Any) -> Any:
    """Give a function that makes a plan of one build, which the stage's actor does as its prompt says."""
    return lambda prompt, build=UNET: plan_of(prompt, builds=(build,))


def until_over(host: Any, uuid: str, wait_until: Any) -> BuildJob:
    wait_until(lambda: host.builds.get(uuid).status in OVER)
    job: BuildJob = host.builds.get(uuid)
    return job


def test_pictures_are_drawn_while_an_engine_is_built(
    troupe: Any, build_plan: Any, plan_of: Any, wait_until: Any
) -> None:
    host, store = troupe
    built = host.builds.submit(build_plan("slow 120"), 7, model="mine")
    wait_until(lambda: host.builds.get(built.uuid).status is JobStatus.PROCESSING)
    drawn = store.until(host.submit(plan_of("quick")).uuid)
    assert drawn.status is JobStatus.COMPLETED
    running = host.builds.get(built.uuid)
    assert (running.status, running.user_id, running.model, running.network) == (
        JobStatus.PROCESSING,
        7,
        "mine",
        "unet",
    )
    assert running.id < 0  # pictures count upwards
    wait_until(lambda: (host.progress(built.uuid).step or 0) > 0)
    assert host.builds.worker_pid not in (None, host.worker_pid)
    waiting = host.builds.submit(build_plan("quick"))
    assert host.builds.stop(waiting.uuid)
    assert host.builds.get(waiting.uuid).error == TERMINATED
    assert host.builds.stop(built.uuid)
    assert host.builds.get(built.uuid).error == TERMINATED
    assert not host.builds.stop(built.uuid)


def test_a_killed_builder_is_one_error_and_the_next_build_has_another(
    troupe: Any, build_plan: Any, wait_until: Any
) -> None:
    host, _ = troupe
    left = host.folders.engines / f".part-{'0' * 64}-x"
    left.mkdir(parents=True)
    killed = host.builds.submit(build_plan("slow 120"))
    wait_until(lambda: (host.progress(killed.uuid).step or 0) > 0)
    os.kill(host.builds.worker_pid, signal.SIGKILL)
    failed = until_over(host, killed.uuid, wait_until)
    assert (failed.status, failed.attempts) == (JobStatus.ERROR, 1)
    assert failed.error.startswith(
        "the worker process died once under this job, which was given up (last: ended"
    )
    assert "width" not in failed.error
    wait_until(lambda: not left.exists())
    assert host.running
    assert host.builds.forget(killed.uuid)
    assert host.builds.get(killed.uuid) is None


@pytest.fixture
def drawn(plan_of: Any) -> Any:
    """Give a job that is done and asked for an engine that is not there."""
    asked = Acceleration(
        requested="onnxruntime", why=("unet: there is no engine for it yet",), missing=(UNET,)
    )
    plan = plan_of("a", acceleration=asked)
    return Job(uuid="1" * 32, user_id=3, plan=plan), plan


def test_what_a_job_missed_is_built_once(open_host: Any, memory_store: Any, drawn: Any) -> None:
    builds = open_host(memory_store).builds
    job, plan = drawn
    first = builds.in_background(job, plan)
    (build,) = builds.all()
    assert (build.user_id, build.plan.builds, build.plan.acceleration) == (3, (UNET,), None)
    assert first.acceleration.why == (
        *plan.acceleration.why,
        f"unet: its engine is being built ({build.uuid})",
    )
    assert builds.in_background(job, plan).acceleration == first.acceleration
    other = replace(plan, size=128)
    builds.in_background(job, other)
    assert len(builds.all()) == 2  # another engine
    assert builds.stop(build.uuid)
    said = builds.in_background(job, plan).acceleration.why[-1]
    assert said == f"unet: it is not built again by itself, for that failed ({build.uuid}: {TERMINATED})"
    assert len(builds.all()) == 2


def test_a_full_queue_is_said_in_the_record(open_host: Any, memory_store: Any, drawn: Any) -> None:
    builds = open_host(memory_store).builds
    job, plan = drawn
    for size in range(64, 64 * 40, 64):
        last = builds.in_background(job, replace(plan, size=size))
    assert last.acceleration.why[-1].startswith("unet: its engine is not built now, for too many builds wait")
    with pytest.raises(TooManyRequestsError, match="17 builds of engines may wait and do"):
        builds.submit(plan_build(plan, UNET, None))


def test_nothing_is_built_where_the_setting_says_so(open_host: Any, memory_store: Any, drawn: Any) -> None:
    builds = open_host(memory_store, build_missing=False).builds
    assert builds.in_background(*drawn) is drawn[1]
    assert builds.all() == ()


def test_what_is_asked_for_by_name_is_built_whatever_the_setting_says_and_anew(
    open_host: Any, memory_store: Any, drawn: Any
) -> None:
    builds = open_host(memory_store, build_missing=False).builds
    job, plan = drawn
    plan = replace(plan, acceleration=replace(plan.acceleration, build=True))
    builds.in_background(job, plan)
    (first,) = builds.all()
    assert builds.stop(first.uuid)
    said = builds.in_background(job, plan).acceleration.why[-1]
    (_, second) = builds.all()
    assert said == f"unet: its engine is being built ({second.uuid})"
    assert builds.in_background(job, plan).acceleration.why[-1] == said
    assert len(builds.all()) == 2


def test_builds_that_are_over_are_forgotten_in_time(plan_of: Any) -> None:
    store, plan = BuildStore(capacity=2), plan_of("a", builds=(UNET,))
    names = [str(number) * 32 for number in range(5)]
    for name in names:
        store.add(BuildJob(uuid=name, user_id=0, plan=plan), limit=9)
        if name != names[0]:
            assert store.withdraw(name, message="no")
    assert [job.uuid for job in store.all()] == [names[0], *names[2:]]
    claimed = store.claim()
    assert claimed is not None
    assert (claimed.uuid, claimed.attempts) == (names[0], 1)
    assert not store.forget(names[0])  # at work


def compiler(name: str, why: str | None = None) -> CompilerSpec:
    """Give an offer that is not built from."""
    components = (Component.UNET, Component.VAE_DECODER)
    return CompilerSpec(
        name=name, build=lambda: None, components=components, precisions=(), missing=lambda: why
    )


def offering(*specs: CompilerSpec) -> Any:
    """Give what pick_compiler sees of a host."""
    offers = {spec.name: spec for spec in specs}
    return SimpleNamespace(offers=lambda _kind: offers, offer=lambda _kind, name: offers[name])


def test_the_compiler_is_the_first_that_can_build_for_what_there_is() -> None:
    trt, rtx = compiler("tensorrt", "not installed"), compiler("tensorrt_rtx")
    host = offering(trt, rtx, compiler("torch_compile"))
    assert pick_compiler(host, None, on_gpu=True).name == "tensorrt_rtx"
    assert pick_compiler(host, None, on_gpu=False).name == "torch_compile"
    assert pick_compiler(host, "tensorrt_rtx", on_gpu=False).name == "tensorrt_rtx"
    with pytest.raises(BadRequestError, match="'tensorrt' cannot build here: not installed"):
        pick_compiler(host, "tensorrt", on_gpu=True)
    with pytest.raises(UnsupportedError, match=r"nothing can build engines here; .*'onnxruntime': no plugin"):
        pick_compiler(offering(trt), None, on_gpu=True)


def test_networks_are_named_by_the_contracts_words_too() -> None:
    some = compiler("some")
    assert [build.component for build in builds_of(some)] == [Component.UNET, Component.VAE_DECODER]
    two = builds_of(some, ["inpaint_unet"], ["sm89", "sm120", "sm89"])
    assert [(build.component, build.inpainter, build.target) for build in two] == [
        (Component.UNET, True, "sm89"),
        (Component.UNET, True, "sm120"),
    ]
    with pytest.raises(
        BadRequestError, match="'some' does not compile text_encoder; it compiles unet, vae_d"
    ):
        builds_of(some, ["text_encoder"])
    with pytest.raises(
        BadRequestError, match="no network is called 'controlnet'; did you mean 'controlled_u"
    ):
        builds_of(some, ["controlnet"])
    with pytest.raises(BadRequestError, match="no network is called 'unett'; did you mean 'unet'"):
        builds_of(some, ["unett"])
