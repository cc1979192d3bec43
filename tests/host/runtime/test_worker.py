from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stretto.host.contracts.ports import JobStatus

# A host of its own process; says its worker's pid once a job runs, then waits to be ended.
SERVER = """
import importlib.util, sys, time
from pathlib import Path
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings

spec = importlib.util.spec_from_file_location("shared", {conftest!r})
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)

def serve():
    with Host.open(Folders(Path({root!r})), Settings(), plugins_file=Path({stage!r}), store=shared.MemoryStore()) as host:
        host.start()
        job = host.submit(shared.make_plan("slow"))
        shared.until(lambda: (host.progress(job.uuid).step or 0) > 3)
        print(host.worker_pid, "torch" in sys.modules, flush=True)
        time.sleep(60)

{main}
"""
GUARDED = 'if __name__ == "__main__":\n    serve()'


@pytest.fixture
def server(tmp_path: Any, stage: Any) -> Any:
    started = []

    def start(main: str = GUARDED) -> Any:
        script = tmp_path / "server.py"
        conftest = Path(__file__).with_name("conftest.py")
        words = {"conftest": str(conftest), "root": str(tmp_path), "stage": str(stage), "main": main}
        script.write_text(SERVER.format(**words))
        process = subprocess.Popen(
            [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # an orphan may wait to be reaped by whoever is process 1 here
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z" if Path("/proc").is_dir() else False


def test_the_worker_dies_with_its_parent_in_the_middle_of_a_job(server: Any, wait_until: Any) -> None:
    process = server()
    pid, torch = process.stdout.readline().split()
    assert torch == "False"  # the parent runs jobs without it
    assert not _gone(int(pid))
    process.kill()
    wait_until(lambda: _gone(int(pid)), timeout_s=5)


def test_a_script_without_a_guard_is_told_so(server: Any) -> None:
    process = server("serve()")
    lines = iter(process.stderr.readline, "")
    assert any("put the lines that start it under `if __name__ == '__main__':`" in line for line in lines)


def test_ctrl_c_is_the_parents_business(troupe: Any, plan_of: Any, wait_until: Any) -> None:
    host, store = troupe
    job = host.submit(plan_of("slow 1"))
    wait_until(lambda: (host.progress(job.uuid).step or 0) > 3)
    os.kill(host.worker_pid, signal.SIGINT)
    kept = store.until(job.uuid)
    assert (kept.status, kept.attempts) == (JobStatus.COMPLETED, 1)
