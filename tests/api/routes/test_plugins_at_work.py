"""Plugins changed over HTTP on a server that runs jobs: at once, in vain, and with a kill before the answer."""

from __future__ import annotations

import contextlib
import signal
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ..client import QUICK, Client, Process

DULL = """
from dataclasses import replace
from stretto.host import SchedulerSpec, hookimpl
@hookimpl
def register_schedulers(host):
    def build(config):
        from diffusers import DDIMScheduler
        return DDIMScheduler.from_config(config)
    return [SchedulerSpec(name="dull", build=build)]
@hookimpl(wrapper=True)
def build_plan(request):
    plan = yield
    return plan.with_note("dull was here")
"""


# goes so slowly, when it is told to, that its change is never answered
LATE = """
import time
from pathlib import Path
from dataclasses import dataclass
from stretto.host import hookimpl
@dataclass(frozen=True)
class Settings:
    words: tuple[str, ...] = ()
@hookimpl
def host_stopping(host):
    if Path(__file__).with_name("slowly").exists():
        time.sleep(60)
"""


class Plugged(Process):
    """A server with plugins in its folder."""

    def start(self) -> None:
        self.root.joinpath("dull.py").write_text(DULL)
        self.root.joinpath("late.py").write_text(LATE)
        super().start()

    @property
    def file(self) -> Path:
        return self.root / "plugins.toml"

    @property
    def says(self) -> dict[str, Any]:
        return tomllib.loads(self.file.read_text())

    def change(self, name: str, body: object) -> Any:
        """Change a plugin over a connection of its own."""
        client = Client(self.client.port)
        try:
            return client.call("PATCH", f"/api/plugins/{name}", body)
        finally:
            client.close()

    def notes(self, uuid: str) -> list[str]:
        self.client.wait(uuid, "completed")
        kept = self.client.get(f"/api/invocation-history/{uuid}").data[0]["attributes"]
        found: list[str] = kept["plan"]["resolved"]["notes"]
        return found


SLOW = {**QUICK, "num_inference_steps": 12, "width": 128, "height": 128}


def test_changes_at_once_refused_or_cut_off_lose_no_job_and_leave_the_file_whole(tmp_path: Path) -> None:
    server = Plugged(tmp_path, ("--verbose",))
    server.start()
    client = server.client
    try:
        # as somebody would by hand
        server.file.write_text('# mine\n[host]\nautoload = false\npaths = ["dull.py", "late.py"]\n')
        first = client.post("/api/invoke", SLOW).data["uuid"]
        client.wait(first, "processing", "completed")
        kept = client.post("/api/invoke", QUICK).data["uuid"]
        lost = client.post("/api/invoke", {**QUICK, "scheduler": "dull"}).data["uuid"]
        before = server.file.read_text()
        assert server.change("dull", {"order": 0, "settings": {"tile": 1}}).status == 400
        assert server.file.read_text() == before
        with ThreadPoolExecutor() as pool:  # all at once
            others = [pool.submit(server.change, "late", {"settings": {"words": ["a"] * n}}) for n in (1, 2)]
            moved = pool.submit(server.change, "vaes", {"order": 0})
            off = pool.submit(server.change, "dull", {"enabled": False})
        assert [one.result().status for one in (*others, moved, off)] == [200] * 4
        assert off.result().data["status"] == "off"
        host = {"autoload": False, "paths": ["dull.py", "late.py"], "disable": ["dull"], "order": ["vaes"]}
        assert server.says["host"] == host
        assert server.says["plugins"]["late"]["words"] in (["a"], ["a", "a"])
        last = client.post("/api/invoke", QUICK).data["uuid"]
        refused = client.post("/api/invoke", {**QUICK, "scheduler": "dull"})
        assert (refused.status, "'dull'" in refused.details[0]) == (400, True)
        _cut_off(server)
        assert server.says == {"host": host, "plugins": {"late": {"words": ["b"]}}}
        server.start()
        back = server.change("vaes", {"order": None})  # nothing is held by who died
        assert (back.status, server.says["host"]["order"]) == (200, [])
        assert "dull was here" in server.notes(first)
        assert "dull was here" in server.notes(kept)
        assert "dull was here" not in server.notes(last)
        failed = server.client.get(f"/api/invocation/{lost}").data
        assert failed["status"] == "error"
        assert "there is no scheduler 'dull'" in failed["message"]
    finally:
        server.stop()


def _cut_off(server: Plugged) -> None:
    """Kill a server that has written a change and has not answered it."""
    answers: list[Any] = []

    def change() -> None:
        with contextlib.suppress(OSError, HTTPException):
            answers.append(server.change("late", {"settings": {"words": ["b"]}}))

    slowly = server.root / "slowly"
    slowly.touch()
    asking = threading.Thread(target=change)
    asking.start()
    while server.says["plugins"]["late"]["words"] != ["b"]:
        assert asking.is_alive()
    server.stop(signal.SIGKILL)
    slowly.unlink()
    asking.join()
    assert answers == []
    assert server.file.read_text().startswith("# mine\n")
    assert list(server.root.glob("plugins.toml.*")) == []
