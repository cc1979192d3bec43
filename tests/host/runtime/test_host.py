from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stretto.host.contracts.events import (
    Failed,
    Finished,
    ModelLoaded,
    Planned,
    Started,
    StepProgress,
    StepStarted,
)
from stretto.host.contracts.ports import JobStatus
from stretto.host.contracts.request import InvocationRequest
from stretto.host.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    PluginError,
    StrettoError,
)
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

OPENING = """
import json, sys, time
from pathlib import Path
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
with Host.open(Folders(Path(sys.argv[1])), Settings()) as host:
    rows = [(row.name, row.status) for row in host.plugins()]
    seconds = time.process_time()
    heavy = [name for name in ("torch", "diffusers", "transformers", "numpy") if name in sys.modules]
    print(json.dumps({"seconds": seconds, "heavy": heavy, "rows": rows}))
"""


def test_opening_is_quick_and_imports_nothing_heavy(tmp_path: Any) -> None:
    command = [sys.executable, "-c", OPENING, tmp_path / "data"]
    told = json.loads(subprocess.run(command, capture_output=True, check=True, cwd=tmp_path).stdout)
    assert told["heavy"] == []
    assert told["seconds"] < 1.5  # of a slow processor, interpreter and imports included
    assert ["starter", "on"] in told["rows"]
    assert (tmp_path / "data" / "models" / "checkpoint").is_dir()


@pytest.fixture(scope="module")
def request_() -> Any:
    return InvocationRequest(prompt="a red circle", num_inference_steps=3, seed=5, image_callback_steps=1)


def test_a_picture_here_and_the_same_one_from_the_worker(
    open_host: Any, memory_store: Any, request_: Any, tmp_path: Any
) -> None:
    here = open_host(root=tmp_path / "here")
    plan = here.plan(request_)
    told: list[Any] = []
    finished = here.run_here(plan, told.append)
    assert [type(event) for event in told[:4]] == [Started, Planned, StepStarted, StepProgress]
    assert told[3].task == "loading starter"
    assert isinstance(told[-1], Finished)
    assert [event.number for event in told] == list(range(1, len(told) + 1))
    assert {event.job for event in told} == {finished.job}
    (loaded,) = [event for event in told if isinstance(event, ModelLoaded)]
    assert loaded.size_bytes > 2**20
    shown = [name for event in told if isinstance(event, StepProgress) for name in event.intermediates]
    assert shown == [f"{finished.job}_0.png", f"{finished.job}_1.png"]
    assert finished.images == (f"{finished.job}_0.png",)
    assert 0 < finished.seconds < 120
    assert here.progress(finished.job).status is JobStatus.COMPLETED

    again = here.run_here(plan, told.append)
    assert len([event for event in told if isinstance(event, ModelLoaded)]) == 1  # it stayed resident

    served = open_host(memory_store, root=tmp_path / "served")
    served.start()
    job = served.submit(plan)
    kept = memory_store.until(job.uuid)
    assert kept.error is None
    files = [
        here.folders.images / finished.images[0],
        here.folders.images / again.images[0],
        served.folders.images / kept.images[0],
    ]
    first, second, third = [Image.open(file).tobytes() for file in files]
    assert first == second == third


def test_what_a_plan_is_refused_for(open_host: Any) -> None:
    host = open_host()
    with pytest.raises((InvalidRequestError, NotFoundError), match="ddim"):
        host.plan(InvocationRequest(prompt="x", scheduler="ddimm"))


def test_a_job_that_fails_here_raises_and_is_told(open_host: Any, plan_of: Any) -> None:
    host = open_host()
    told: list[Any] = []
    with pytest.raises(PluginError, match=r"'actor' raised in run_step: .*no such luck"):
        host.run_here(plan_of("bad"), told.append)
    assert isinstance(told[-1], Failed)
    assert "no such luck" in host.progress(told[-1].job).message
    assert host.run_here(plan_of("quick")).notes == ("was quick",)


def test_without_a_store_there_is_no_queue(open_host: Any, plan_of: Any) -> None:
    host = open_host()
    for call in (host.start, lambda: host.submit(plan_of("quick")), host.stop):
        with pytest.raises(ConfigurationError, match="without a job store"):
            call()
    assert host.status() == "idle"
    assert host.worker_pid is None


def test_offers_are_not_there_while_plugins_make_theirs(tmp_path: Any) -> None:
    (tmp_path / "early.py").write_text(
        "from stretto.host import hookimpl\n"
        "@hookimpl\ndef register_models(host):\n    return host.offers('schedulers')\n"
    )
    (tmp_path / "plugins.toml").write_text('[host]\nautoload = false\npaths = ["early.py"]\n')
    opened = Host.open(Folders(tmp_path / "data"), Settings(), plugins_file=tmp_path / "plugins.toml")
    with opened as host:
        (row,) = [row for row in host.plugins() if row.name == "early"]
    assert row.status == "broken"
    assert "offers are not complete" in row.reason


def test_a_hosts_view_of_what_is_offered(open_host: Any) -> None:
    host = open_host()
    assert "starter" in host.offers("models")
    assert host.offer("schedulers", "ddim").name == "ddim"
    assert Path(host.resolve_model("starter").path).is_dir()
    with pytest.raises(StrettoError, match="starter"):
        host.resolve_model("startr")


def test_close_may_come_twice_and_before_start(open_host: Any, memory_store: Any) -> None:
    host = open_host(memory_store)
    host.close()
    host.close()


@pytest.mark.parametrize(
    ("change", "renews"),
    [
        ({"safe": True}, True),
        ({"switch_mode": None}, True),
        ({"cache_mode": "always"}, True),
        ({"precision": "bfloat16"}, True),
        ({"memory_limit_bytes": 2**34}, True),
        ({"max_queued_invocations": 9}, False),
        ({"switch_mode": "offload"}, False),
    ],
)
def test_a_worker_takes_in_what_it_is_hired_with(
    tmp_path: Any, memory_store: Any, change: Any, renews: bool
) -> None:
    with Host.open(Folders(tmp_path), Settings(), store=memory_store) as host:
        host.update_settings(replace(host.settings, **change))
        assert host._dispatcher is not None
        assert host._dispatcher._stale is renews
