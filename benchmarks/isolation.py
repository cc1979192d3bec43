"""What a call into an isolated plugin costs beyond the plugin's own work: a picture, an event, a plan, the first call."""

from __future__ import annotations

import statistics
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stretto.host import InvocationRequest, StepProgress
from stretto.host.isolation.isolation import Isolation
from stretto.host.isolation.proxies import IsolatedPlugin
from stretto.host.plugboard.switches import Switches
from stretto.host.runtime.host import Host
from stretto.host.runtime.limits import usable_ram_bytes
from stretto.host.settings import Folders, Settings

from .report import Row

__all__ = ["isolation"]

SIDE_PX = 1024
PLUGIN = """
from stretto.host import UpscalerSpec, hookimpl


class Same:
    def upscale(self, image, amount):
        return image


@hookimpl
def register_upscalers():
    return [UpscalerSpec(name="same", build=lambda device: Same())]


@hookimpl(wrapper=True)
def build_plan():
    return (yield)


@hookimpl
def observe():
    pass
"""


def isolation(out: Path) -> list[Row]:
    """Measure a plugin that does nothing."""
    from PIL import Image

    plugin, host = _plugin(out), Host.open(Folders(out / "host"), Settings())
    request = InvocationRequest(prompt="a red circle", plugins={})
    plan = host.plan(request)
    host.close()
    event = StepProgress(job="a" * 32, number=1, step=1, total=20, task="denoising")
    picture = Image.effect_noise((SIDE_PX, SIDE_PX), 80).convert("RGB")
    began = time.perf_counter()
    upscaler = plugin.register_upscalers()[0].build("cpu")
    first_s = time.perf_counter() - began
    rows = [
        _row(
            "picture",
            40.0,
            100,
            lambda: upscaler.upscale(picture, 1),
            f"{SIDE_PX} x {SIDE_PX} px RGB there and back",
        ),
        _row(
            "plan",
            10.0,
            200,
            lambda: _wrapped(plugin, request, plan),
            "a request and its plan there, the plan back",
        ),
        _row("event", 0.2, 500, lambda: plugin.observe(event), "what the host waits; it is sent beside"),
        _row(
            "event, until it is told",
            5.0,
            500,
            lambda: plugin.remote.call("observe", event=_said(event)),
            "there",
        ),
        Row(
            name="isolated plugin, first call",
            value=first_s,
            bound=2.0,
            unit="s",
            detail="its process is started, the plugin imported; no library of its own",
        ),
    ]
    plugin.close()
    return rows


def _said(event: StepProgress) -> Any:
    from stretto.host.isolation.values import event_json

    return event_json(event)


def _wrapped(plugin: Any, request: InvocationRequest, plan: Any) -> None:
    around = plugin.build_plan(request)
    next(around)
    try:
        around.send(plan)
    except StopIteration as done:
        if done.value != plan:
            raise RuntimeError("the plan is another one") from None


def _row(what: str, bound_ms: float, times: int, work: Callable[[], object], detail: str) -> Row:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return Row(
        name=f"isolated plugin, {what}",
        value=statistics.median(taken) * 1000,
        bound=bound_ms,
        unit="ms",
        detail=f"median of {times} calls: {detail}",
    )


def _plugin(out: Path) -> Any:
    info = "stretto_idle-1.0.dist-info"
    wheel = out / "stretto_idle-1.0-py3-none-any.whl"
    files = {
        "idle.py": PLUGIN,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: stretto-idle\nVersion: 1.0\nRequires-Dist: stretto\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: benchmarks\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[stretto]\nidle = idle\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    switches = Switches(tables={"idle": {"isolated": True}})
    apart = Isolation(Folders(out / "data"), Settings, switches, version="0", usable_bytes=usable_ram_bytes)
    environment = apart.install(str(wheel), ["--no-index"])
    plugin: IsolatedPlugin = apart.load(environment, "idle")
    return plugin
