from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from stretto.host.contracts.models import WeightFile, WeightKind
from stretto.host.contracts.plan import Bounds, Node, Plan
from stretto.host.contracts.ports import Job, JobStatus
from stretto.host.errors import TooManyRequestsError
from stretto.host.runtime.bench import JobBench
from stretto.host.runtime.host import Host
from stretto.host.runtime.machine import Machine
from stretto.host.settings import Folders, Settings


class MemoryStore:
    """A JobStore that forgets at the end; the durable one is the API's."""

    def __init__(self) -> None:
        self.jobs = {}
        self.queue = []
        self.calls = []
        self._lock = threading.Lock()

    def _set(self, uuid: Any, **values: Any) -> None:
        self.jobs[uuid] = replace(self.jobs[uuid], **values)

    def add(self, job: Any, *, limit: Any) -> Any:
        with self._lock:
            if len(self.queue) >= limit:
                raise TooManyRequestsError("Too many requests.")
            self.jobs[job.uuid] = job
            self.queue.append(job.uuid)
            return job

    def claim(self) -> Any:
        with self._lock:
            if not self.queue:
                return None
            uuid = self.queue.pop(0)
            self._set(uuid, status=JobStatus.PROCESSING, attempts=self.jobs[uuid].attempts + 1)
            return self.jobs[uuid]

    def requeue(self, uuid: Any) -> None:
        with self._lock:
            self._set(uuid, status=JobStatus.QUEUED)
            self.queue.insert(0, uuid)

    def finish(self, uuid: Any, *, images: Any, plan: Any) -> None:
        with self._lock:
            self._set(uuid, status=JobStatus.COMPLETED, images=images, plan=plan)

    def fail(self, uuid: Any, *, message: Any, plan: Any = None) -> None:
        with self._lock:
            self._set(uuid, status=JobStatus.ERROR, error=message, **({"plan": plan} if plan else {}))

    def withdraw(self, uuid: Any, *, message: Any) -> bool:
        with self._lock:
            if uuid not in self.queue:
                return False
            self.queue.remove(uuid)
            self._set(uuid, status=JobStatus.ERROR, error=message)
            return True

    def unfinished(self) -> Any:
        return [job for job in self.jobs.values() if job.status is JobStatus.PROCESSING]

    def waiting(self) -> Any:
        return len(self.queue)

    def until(self, uuid: Any, *statuses: Any, timeout_s: Any = 60.0) -> Any:
        """Wait for a job to get to one of `statuses` (default: an end)."""
        wanted = statuses or (JobStatus.COMPLETED, JobStatus.ERROR)
        return until(lambda: self.jobs[uuid].status in wanted and self.jobs[uuid], timeout_s)


def until(happens: Any, timeout_s: Any = 60.0) -> Any:
    """Wait until something is true, and give it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := happens():
            return found
        time.sleep(0.02)
    pytest.fail(f"nothing happened in {timeout_s} s")


# A plugin that takes any plan whose prompt begins with one of its words, and leaves the rest to the host.
ACTOR = """
import os
import signal
import time
from pathlib import Path

from stretto.host import Frame, ModelEvicted, Save, hookimpl
from stretto.host.errors import OutOfMemoryError

HERE = Path(__file__).parent


@hookimpl
def run_step(step, frame, bench):
    word, *rest = bench.plan.prompt.split()
    act = ACTS.get(word)
    if act is None:
        return None
    if isinstance(step, Save):
        return Frame(files=(f"{bench.job}_0.png",))
    act(bench, *rest)
    return frame


def quick(bench):
    bench.tick("playing", ticks=10)
    bench.note("was quick")


def slow(bench, seconds="30"):
    for _ in range(int(float(seconds) / 0.02)):
        bench.tick("playing")
        time.sleep(0.02)


def deaf(bench):
    (HERE / "deaf").touch()
    time.sleep(60)


def bad(bench):
    raise ValueError("no such luck")


def rude(bench):
    (HERE / "pid").write_text(str(os.getpid()))
    raise SystemExit(7)


def die(bench):
    os.kill(os.getpid(), signal.SIGKILL)


def faint(bench):
    if not (HERE / "fainted").exists():
        (HERE / "fainted").touch()
        die(bench)


def freeze(bench):
    bench.tick("playing")
    os.kill(os.getpid(), signal.SIGSTOP)


def speak(bench):
    bench.tick("playing")
    bench.host.publish(ModelEvicted(job="another", model="m", why="spoken"))


def pid(bench):
    bench.note(f"pid {os.getpid()} offline {os.environ['HF_HUB_OFFLINE']}")


def full(bench):
    bench.tick("playing", ticks=3)
    raise OutOfMemoryError("no room for it; draw less")


ACTS = {act.__name__: act for act in (quick, slow, deaf, bad, rude, die, faint, freeze, speak, pid, full)}
"""
# A plugin that writes down what it hears in the parent, and is unwell when it hears of a failure.
OBSERVER = """
from pathlib import Path

from stretto.host import Failed, hookimpl

heard = []


@hookimpl
def observe(event):
    heard.append(event)
    with (Path(__file__).parent / "heard.txt").open("a") as file:
        file.write(f"{event.job} {event.number} {type(event).__name__}\\n")
    if isinstance(event, Failed):
        raise RuntimeError("an unwell observer")
"""


@pytest.fixture(scope="session")
def stage(tmp_path_factory: Any) -> Any:
    """Give the plugins.toml of a host with the plugins `actor` and `observer`."""
    folder = tmp_path_factory.mktemp("stage")
    (folder / "actor.py").write_text(ACTOR)
    (folder / "observer.py").write_text(OBSERVER)
    (folder / "plugins.toml").write_text(
        '[host]\nautoload = false\npaths = ["actor.py", "observer.py"]\nmax_failures = 0\n'
    )
    return folder / "plugins.toml"


def make_plan(prompt: Any, **changes: Any) -> Any:
    node = Node(
        bounds=Bounds(left=0, top=0, right=64, bottom=64),
        width=64,
        height=64,
        prompt=prompt,
        negative_prompt="",
        num_inference_steps=9,
        guidance_scale=7.0,
        strength=0.8,
    )
    plan = Plan(
        model=WeightFile(path=__file__, kind=WeightKind.DIFFUSERS, name="nothing"),
        size=64,
        width=64,
        height=64,
        seed=1,
        samples=1,
        prompt=prompt,
        negative_prompt="",
        nodes=(node,),
        scheduler=None,
        multi_scheduler=None,
        chunking_size=0,
        chunking_blur=0,
    )
    return replace(plan, **changes)


@pytest.fixture
def plan_of() -> Any:
    """Give a function that makes a plan, already resolved, from a prompt."""
    return make_plan


@pytest.fixture
def wait_until() -> Any:
    return until


@pytest.fixture
def open_host(stage: Any, tmp_path: Any) -> Any:
    """Give a function that opens a host over a store; all are closed at the end."""
    opened = []

    def open_(store: Any = None, *, root: Any = tmp_path / "data", **settings: Any) -> Any:
        host = Host.open(Folders(root), Settings(**settings), plugins_file=stage, store=store)
        opened.append(host)
        return host

    yield open_
    for host in opened:
        host.close()


@pytest.fixture(scope="session")
def here(stage: Any, tmp_path_factory: Any) -> Any:
    """Give an open host without a queue, and its machine in this process."""
    folders = Folders(tmp_path_factory.mktemp("here"))
    with Host.open(folders, Settings(), plugins_file=stage) as host, Machine.open(host) as machine:
        yield host, machine


@pytest.fixture
def desk(here: Any) -> Any:
    """Give a function that lays out a bench for a job of that prompt: the bench, and all that it told."""
    host, machine = here

    def lay(prompt: Any = "quick", *, cancelled: Any = lambda: False, number: Any = 0, **plan: Any) -> Any:
        told: list[Any] = []
        job = Job(uuid=uuid4().hex, user_id=0, plan=make_plan(prompt, **plan))
        return JobBench(job, host, machine, tell=told.append, cancelled=cancelled, number=number), told

    return lay


@pytest.fixture(scope="module")
def troupe(stage: Any, tmp_path_factory: Any) -> Any:
    """Give one running host for the tests of a module that leave its worker well, and its store."""
    store = MemoryStore()
    folders = Folders(tmp_path_factory.mktemp("data"))
    with Host.open(folders, Settings(max_queued_invocations=50), plugins_file=stage, store=store) as host:
        host.start()
        yield host, store


@pytest.fixture
def memory_store() -> Any:
    return MemoryStore()


@pytest.fixture(scope="session")
def store_of() -> Any:
    """Give a function that makes a store."""
    return MemoryStore
