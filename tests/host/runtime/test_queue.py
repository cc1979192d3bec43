from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import replace
from typing import Any, Never

import pytest
from stretto.host.contracts.ports import Job, JobStatus
from stretto.host.errors import TooManyRequestsError
from stretto.host.runtime.bench import TERMINATED
from stretto.host.runtime.queue import GRACE_S

DONE, ERROR, QUEUED, PROCESSING = (
    JobStatus.COMPLETED,
    JobStatus.ERROR,
    JobStatus.QUEUED,
    JobStatus.PROCESSING,
)


def test_a_job_goes_through_and_what_the_engine_noted_is_kept(
    troupe: Any, plan_of: Any, wait_until: Any
) -> None:
    host, store = troupe
    job = host.submit(plan_of("quick"), user_id=7)
    assert len(job.uuid) == 32
    kept = store.until(job.uuid)
    assert (kept.status, kept.user_id, kept.attempts) == (DONE, 7, 1)
    assert kept.images == (f"{job.uuid}_0.png",)
    assert kept.plan.notes == ("was quick",)
    wait_until(lambda: host.progress(job.uuid).status is DONE)
    progress = host.progress(job.uuid)
    assert progress.step == progress.total == 10
    assert progress.images == kept.images


def test_events_are_numbered_without_gaps_and_observers_hear_them(
    troupe: Any, plan_of: Any, stage: Any, wait_until: Any
) -> None:
    host, store = troupe
    job = host.submit(plan_of("speak"))
    store.until(job.uuid)
    heard = stage.parent / "heard.txt"
    wait_until(lambda: f"{job.uuid} 11 Finished" in heard.read_text(), timeout_s=5)
    lines = [line.split() for line in heard.read_text().splitlines() if line.startswith(job.uuid)]
    assert [int(number) for _, number, _ in lines] == list(range(1, len(lines) + 1))
    kinds = [kind for _, _, kind in lines]
    assert kinds[:4] == ["Queued", "Started", "Planned", "StepStarted"]
    assert kinds[-2:] == ["Measured", "Finished"]
    assert "ModelEvicted" in kinds  # what the plugin published in the worker came up as this job's


def test_a_plugin_that_raises_fails_its_job_by_name_and_the_worker_stays(
    troupe: Any, plan_of: Any, caplog: Any
) -> None:
    host, store = troupe
    before = store.until(host.submit(plan_of("pid")).uuid).plan.notes
    failed = store.until(host.submit(plan_of("bad")).uuid)
    assert failed.status is ERROR
    assert "'actor'" in failed.error
    assert "no such luck" in failed.error
    assert store.until(host.submit(plan_of("pid")).uuid).plan.notes == before
    assert "'observer' raised in observe" in caplog.text  # an unwell observer harms nobody


def test_what_was_tried_when_memory_was_full_stands_in_the_record_of_the_job(
    troupe: Any, plan_of: Any, stage: Any
) -> None:
    host, store = troupe
    job = host.submit(plan_of("full"))
    failed = store.until(job.uuid)
    assert failed.status is ERROR
    assert failed.error.startswith(
        "no room for it; draw less This was tried before: the VAE works on one picture"
    )
    assert [note.split(": again, and ")[1] for note in failed.plan.notes] == [
        "the VAE works on one picture at a time, in tiles of 256 px",
        "one sample at a time, and guidance's two halves after each other",
    ]
    assert (stage.parent / "heard.txt").read_text().count(" StepEased\n") == 2
    assert store.until(host.submit(plan_of("quick")).uuid).error is None


def test_the_worker_is_offline_and_another_process(troupe: Any, plan_of: Any) -> None:
    host, store = troupe
    (note,) = store.until(host.submit(plan_of("pid")).uuid).plan.notes
    assert note == f"pid {host.worker_pid} offline 1"
    assert host.worker_pid != os.getpid()


def test_stop_ends_the_active_job_and_the_worker_stays(troupe: Any, plan_of: Any, wait_until: Any) -> None:
    host, store = troupe
    first, second = host.submit(plan_of("slow")), host.submit(plan_of("quick"))
    wait_until(lambda: (host.progress(first.uuid).step or 0) > 3)
    assert host.status() == "busy"
    pid = host.worker_pid
    begun = time.monotonic()
    assert host.stop()
    assert time.monotonic() - begun < GRACE_S  # when the worker would be killed
    assert store.jobs[first.uuid].status is ERROR
    assert store.jobs[first.uuid].error == TERMINATED == host.progress(first.uuid).message
    assert store.until(second.uuid).status is DONE
    assert host.worker_pid == pid


def test_stop_of_a_waiting_job_takes_it_out_of_the_queue(troupe: Any, plan_of: Any) -> None:
    host, store = troupe
    first, second = host.submit(plan_of("slow 1")), host.submit(plan_of("quick"))
    assert host.stop(second.uuid)
    assert store.jobs[second.uuid].error == TERMINATED
    assert host.progress(second.uuid).status is ERROR
    assert not host.stop(second.uuid)
    assert store.until(first.uuid).status is DONE


def test_nothing_to_stop(troupe: Any, plan_of: Any, wait_until: Any) -> None:
    host, store = troupe
    store.until(host.submit(plan_of("quick")).uuid)
    wait_until(lambda: host.status() == "ready")
    assert not host.stop()
    assert not host.stop("0" * 32)


def test_progress_comes_while_the_job_runs(troupe: Any, plan_of: Any, wait_until: Any) -> None:
    host, _ = troupe
    job = host.submit(plan_of("slow"))
    wait_until(lambda: (host.progress(job.uuid).step or 0) > 15)
    progress = host.progress(job.uuid)
    assert progress.status is PROCESSING
    assert progress.task == "playing"
    assert 20 < progress.rate < 51
    assert progress.duration > 0.2
    host.stop(job.uuid)


def test_first_come_first_served(troupe: Any, plan_of: Any) -> None:
    host, store = troupe
    jobs = [host.submit(plan_of("quick")) for _ in range(5)]
    for job in jobs:
        store.until(job.uuid)
    started = [host.progress(job.uuid).started for job in jobs]
    assert started == sorted(started)


def test_a_killed_worker_is_replaced_and_the_job_runs_again(
    troupe: Any, plan_of: Any, wait_until: Any
) -> None:
    host, store = troupe
    job = host.submit(plan_of("slow 1.5"))
    wait_until(lambda: (host.progress(job.uuid).step or 0) > 3)
    before = host.worker_pid
    os.kill(before, signal.SIGKILL)
    kept = store.until(job.uuid)
    assert (kept.status, kept.attempts) == (DONE, 2)
    assert host.progress(job.uuid).attempt == 2
    assert host.worker_pid != before


def test_a_job_that_kills_every_worker_is_given_up_and_the_next_one_runs(troupe: Any, plan_of: Any) -> None:
    host, store = troupe
    killer, next_one = host.submit(plan_of("die")), host.submit(plan_of("quick"))
    kept = store.until(killer.uuid)
    assert (kept.status, kept.attempts) == (ERROR, 2)
    assert "died 2 times" in kept.error
    assert "SIGKILL" in kept.error
    assert store.until(next_one.uuid).status is DONE


def test_an_idle_worker_that_is_killed_costs_no_attempt(troupe: Any, plan_of: Any, wait_until: Any) -> None:
    host, store = troupe
    store.until(host.submit(plan_of("quick")).uuid)
    wait_until(lambda: host.status() == "ready")
    os.kill(host.worker_pid, signal.SIGKILL)
    wait_until(lambda: host.status() == "idle")
    kept = store.until(host.submit(plan_of("quick")).uuid)
    assert (kept.status, kept.attempts) == (DONE, 1)


def test_capacity_is_one_active_and_so_many_waiting(
    open_host: Any, memory_store: Any, plan_of: Any, wait_until: Any
) -> None:
    host = open_host(memory_store, max_queued_invocations=2)
    # before the queue runs nothing is active: one may become so, two may wait
    for _ in range(3):
        host.submit(plan_of("slow"))
    with pytest.raises(TooManyRequestsError):
        host.submit(plan_of("slow"))
    host.start()
    wait_until(lambda: host.status() == "busy")
    with pytest.raises(TooManyRequestsError):
        host.submit(plan_of("slow"))
    host.update_settings(replace(host.settings, max_queued_invocations=3))
    host.submit(plan_of("slow"))


def test_what_the_last_host_left_unfinished_runs_again_once(
    open_host: Any, memory_store: Any, plan_of: Any
) -> None:
    waiting = Job(uuid="a" * 32, user_id=0, plan=plan_of("quick"))
    once = Job(uuid="b" * 32, user_id=0, plan=plan_of("quick"), status=PROCESSING, attempts=1)
    twice = Job(uuid="c" * 32, user_id=0, plan=plan_of("quick"), status=PROCESSING, attempts=2)
    memory_store.jobs = {job.uuid: job for job in (waiting, once, twice)}
    memory_store.queue = [waiting.uuid]
    host = open_host(memory_store)
    host.start()
    given_up = memory_store.jobs[twice.uuid]
    assert given_up.status is ERROR
    assert "died 2 times" in given_up.error
    assert memory_store.until(waiting.uuid).attempts == 1
    assert memory_store.jobs[once.uuid].status is DONE
    assert memory_store.jobs[once.uuid].attempts == 2
    assert host.progress(once.uuid).started < host.progress(waiting.uuid).started


def test_a_job_that_is_deaf_to_stop_is_killed_after_the_grace(
    open_host: Any, memory_store: Any, plan_of: Any, wait_until: Any, monkeypatch: Any, stage: Any
) -> None:
    monkeypatch.setattr("stretto.host.runtime.queue.GRACE_S", 0.5)
    host = open_host(memory_store)
    host.start()
    (stage.parent / "deaf").unlink(missing_ok=True)  # another test's job may have left it
    job = host.submit(plan_of("deaf"))
    wait_until((stage.parent / "deaf").exists)
    assert host.stop(job.uuid)
    assert memory_store.jobs[job.uuid].error == TERMINATED
    assert memory_store.jobs[job.uuid].attempts == 1
    wait_until(lambda: host.status() == "idle")


def test_silence_ends_the_job_and_an_idle_worker_leaves(
    open_host: Any, memory_store: Any, plan_of: Any, wait_until: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("stretto.host.runtime.queue.GRACE_S", 0.1)
    host = open_host(memory_store, silence_timeout_s=3.0, idle_timeout_s=1.0)
    host.start()
    # seen as alive while it loads, though it ticks no more than the frozen one
    patient = host.submit(plan_of("deaf"))
    frozen = host.submit(plan_of("freeze"))
    wait_until(lambda: memory_store.jobs[patient.uuid].status is PROCESSING)
    time.sleep(4)
    assert memory_store.jobs[patient.uuid].status is PROCESSING
    host.stop(patient.uuid)
    kept = memory_store.until(frozen.uuid)
    assert (kept.status, kept.error, kept.attempts) == (ERROR, "Invocation timed out.", 1)
    last = host.submit(plan_of("pid"))
    pid = int(memory_store.until(last.uuid).plan.notes[0].split()[1])
    wait_until(lambda: host.status() == "idle", timeout_s=10)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_that_cannot_open_its_host_says_why(
    open_host: Any, memory_store: Any, plan_of: Any, stage: Any
) -> None:
    host = open_host(memory_store)
    host.fittings.switches = replace(host.fittings.switches, require=("phlogiston",))
    host.start()
    kept = memory_store.until(host.submit(plan_of("quick")).uuid)
    assert kept.status is ERROR
    assert "Engine process died before it became responsive" in kept.error
    assert "phlogiston" in kept.error


def test_a_store_that_fails_costs_that_job_only(
    troupe: Any, plan_of: Any, monkeypatch: Any, caplog: Any
) -> None:
    host, store = troupe
    finish = store.finish

    def full(uuid: Any, **_: Any) -> Never:
        monkeypatch.setattr(store, "finish", finish)
        raise OSError("disk full")

    monkeypatch.setattr(store, "finish", full)
    with caplog.at_level(logging.ERROR):
        kept = store.until(host.submit(plan_of("quick")).uuid)
    assert kept.status is ERROR
    assert "disk full" in kept.error
    assert "the queue goes on" in caplog.text
    assert store.until(host.submit(plan_of("quick")).uuid).status is DONE


def test_a_store_that_keeps_failing_is_asked_less_and_less_often(
    troupe: Any, plan_of: Any, monkeypatch: Any, caplog: Any
) -> None:
    host, store = troupe

    def full() -> Never:
        raise OSError("disk full")

    with caplog.at_level(logging.ERROR), monkeypatch.context() as patch:
        patch.setattr(store, "claim", full)
        job = host.submit(plan_of("quick"))
        time.sleep(1.8)  # tries at 0, 0.5 and 1.5 s
    assert 2 <= caplog.text.count("the queue goes on") <= 3
    assert store.until(job.uuid).status is DONE


def test_a_plugin_that_exits_fails_its_job_and_not_the_worker(troupe: Any, plan_of: Any) -> None:
    host, store = troupe
    store.until(host.submit(plan_of("quick")).uuid)
    before = host.worker_pid
    kept = store.until(host.submit(plan_of("rude")).uuid)
    assert kept.status is ERROR
    assert kept.error == "the plugin 'actor' raised in run_step: SystemExit: 7"
    assert host.worker_pid == before


def test_other_settings_mean_another_worker_for_the_next_job(troupe: Any, plan_of: Any) -> None:
    host, store = troupe
    before = store.until(host.submit(plan_of("pid")).uuid).plan.notes
    host.update_settings(replace(host.settings, idle_timeout_s=500.0))
    assert store.until(host.submit(plan_of("pid")).uuid).plan.notes == before
    host.update_settings(replace(host.settings, precision="float32"))
    assert store.until(host.submit(plan_of("pid")).uuid).plan.notes != before


def test_close_in_the_middle_leaves_the_job_to_the_next_host(
    open_host: Any, memory_store: Any, plan_of: Any, wait_until: Any
) -> None:
    host = open_host(memory_store)
    host.start()
    job = host.submit(plan_of("slow 1"))
    wait_until(lambda: (host.progress(job.uuid).step or 0) > 3)
    pid = host.worker_pid
    begun = time.monotonic()
    host.close()
    assert time.monotonic() - begun < 2
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert memory_store.jobs[job.uuid].status is PROCESSING
    open_host(memory_store).start()
    kept = memory_store.until(job.uuid)
    assert (kept.status, kept.attempts) == (DONE, 2)
