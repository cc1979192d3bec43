"""`stretto serve` as a process: what it prints, what it holds, and that nothing is lost when it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from stretto.api.entities import open_database
from stretto.api.serve import is_loopback
from stretto.api.store import PonyJobStore, database_file

from .client import COMMAND, QUICK, Process

LONG = {**QUICK, "num_inference_steps": 900, "intermediates": False}


@pytest.fixture
def process(tmp_path):
    made = Process(tmp_path)
    made.start()
    yield made
    if made.popen.poll() is None:
        made.popen.kill()
        made.popen.wait(30)


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


def serve(*options, cwd):
    command = [COMMAND, "serve", "--port", "0", "--data-dir", cwd / "other", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd, check=False)


def test_first_answer_is_cheap_and_no_torch_is_in_the_process(process):
    assert process.client.get("/api").status == 200
    pid = process.popen.pid
    assert cpu_seconds(pid) < 1.5
    assert resident_mb(pid) < 120
    assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()


def test_one_line_with_the_url(process):
    assert re.fullmatch(
        r"Stretto listens on http://127\.0\.0\.1:\d+ \(data in .*\); stop it with Ctrl-C\n", process.line
    )


def test_a_second_server_on_the_same_data_is_refused(process):
    second = subprocess.run(
        [COMMAND, "serve", "--port", "0", "--data-dir", process.data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "is in use by another server; stop that one" in second.stderr
    assert process.client.get("/api").status == 200


def test_a_data_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    answer = serve("--port", "0", "--data-dir", "file/data", cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("stretto: ConfigurationError: ")
    assert "cannot be used (Not a directory); name another one with --data-dir" in answer.stderr


def test_a_torn_database_is_refused(tmp_path):
    file = database_file(tmp_path)
    open_database(file).close()
    whole = file.read_bytes()
    file.write_bytes(
        whole[:4096] + b"torn" * ((len(whole) - 4096) // 4)
    )  # the schema is sound, the rows are not
    answer = serve("--port", "0", "--data-dir", ".", cwd=tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"stretto: ConfigurationError: The file {file} is not a usable database")


def test_a_taken_port_is_refused(process, tmp_path):
    answer = serve("--port", str(process.client.port), cwd=tmp_path)
    assert answer.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {process.client.port}" in answer.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104 - refused
def test_other_machines_need_a_flag(tmp_path, host):
    answer = serve("--host", host, cwd=tmp_path)
    assert answer.returncode == 1
    assert "can be reached from other machines" in answer.stderr
    assert "say --auth to ask for tokens, listen on 127.0.0.1, or say --allow-remote" in answer.stderr


@pytest.mark.parametrize("option", ["--auth", "--allow-remote-without-auth"])
def test_other_machines_may_come_with_authentication_or_the_flag(tmp_path, option):
    process = Process(tmp_path, ("--host", "0.0.0.0", option))  # noqa: S104  # that is the test
    process.start()
    guarded = option == "--auth"
    assert process.client.get("/api").status == (401 if guarded else 200)
    if guarded:
        word = re.search(r"password (\S+) ", process.popen.stdout.readline())[1]
        login = {"username": "enfugue", "password": word}
        process.client.token = process.client.post("/api/login", login).data["attributes"]["access_token"]
    answer = process.client.post("/api/settings", {"auth": False})
    assert answer.status == (409 if guarded else 200)
    assert process.client.get("/api").status == 200
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("x", False),
    ],
)
def test_loopback(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_gracefully(process, number):
    process.client.get("/api")
    began = time.monotonic()
    assert process.stop(number) == 0
    assert time.monotonic() - began < 30
    process.start()
    assert process.client.get("/api").status == 200


def test_a_signal_puts_the_active_job_back(process):
    uuid = process.client.post("/api/invoke", LONG).data["uuid"]
    waiting = process.client.post("/api/invoke", LONG).data["uuid"]
    process.client.wait(uuid, "processing")
    assert process.stop() == 0
    store = PonyJobStore(open_database(database_file(process.data)))
    assert store.waiting() == 2
    job = store.claim()
    assert (job.uuid, job.attempts) == (uuid, 1)
    assert store.claim().uuid == waiting


def test_nothing_is_lost_when_the_server_is_killed_in_the_middle_of_a_job(process):
    uuid = process.client.post("/api/invoke", {**LONG, "num_inference_steps": 150}).data["uuid"]
    waiting = process.client.post("/api/invoke", QUICK).data["uuid"]
    deadline = time.monotonic() + 100
    while not process.client.wait(uuid, "processing")["step"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.stop(signal.SIGKILL)
    process.start()
    done = process.client.wait(uuid, "completed")
    assert done["images"] == [f"images/{uuid}_0.png"]
    assert process.client.wait(waiting, "completed")["progress"] == 1
    listed = process.client.get("/api/invocation").data
    assert [entry["uuid"] for entry in listed] == [uuid, waiting]
    assert process.client.get("/api/invocation-history").json["meta"]["count"] == 2
    told = process.client.get("/metrics").body.decode().splitlines()
    assert {
        'stretto_invocations_total{outcome="completed"} 2.0',
        "stretto_invocation_restarts_total 1.0",
        "stretto_images_total 2.0",
        'stretto_stage_duration_seconds_count{stage="diffuse"} 2.0',
        'stretto_stage_duration_seconds_count{stage="save"} 2.0',
        'stretto_model_loads_total{model="starter"} 1.0',
        "stretto_worker_up 1.0",
    } <= set(told)
    steps = next(line for line in told if line.startswith("stretto_step_duration_seconds_count"))
    assert float(steps.partition('{stage="diffuse"} ')[2]) >= 150
    assert any(line.startswith("stretto_worker_process_cpu_seconds_total ") for line in told)
    process.stop()
