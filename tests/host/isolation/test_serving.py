"""One host, several isolated plugins: two of different numpy majors, and one that ends itself in many ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from stretto.host import InvocationRequest
from stretto.host.contracts.ports import Job, JobStatus
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings
from stretto.host.testing.stores import JobMemory

from .conftest import Wheel, isolation
from .rough import ROUGH

WHEELS = Path(__file__).parents[3] / ".cache" / "wheels"
PINS = {"one": "numpy==1.26.4", "two": "numpy==2.2.6"}
# Draws the numbers of numpy's version into the first pixel, by numpy itself.
NUMBERS = """
from stretto.host import UpscalerSpec, hookimpl


class Numbers:
    def upscale(self, image, amount):
        import numpy
        from PIL import Image

        pixels = numpy.asarray(image).repeat(amount, axis=0).repeat(amount, axis=1)
        pixels[PLACE, 0] = [int(part) for part in numpy.__version__.split(".")]
        return Image.fromarray(pixels)


@hookimpl
def register_upscalers():
    return [UpscalerSpec(name=NAME, build=lambda device: Numbers())]


@hookimpl(wrapper=True)
def build_plan(request, host):
    import numpy

    plan = yield
    return plan.with_note(f"{NAME} plans with numpy {numpy.__version__}")
"""


def _numbered(name: str) -> str:
    return f"NAME, PLACE = {name!r}, {sorted(PINS).index(name)}\n{NUMBERS}"


class Served:
    """A started host, and what it was told to do."""

    def __init__(self, host: Host, store: JobMemory) -> None:
        self.host = host
        self.store = store

    def submit(self, *upscale: str, **words: Any) -> Job:
        """Draw a small picture and enlarge it by these, twice each."""
        request = InvocationRequest(
            prompt="a red circle",
            width=64,
            height=64,
            seed=1,
            num_inference_steps=1,
            intermediates=False,
            outscale=2 ** len(upscale),  # type: ignore[arg-type]  # of one or two
            upscale=upscale,
            upscale_iterative=True,
            **words,
        )
        return self.host.submit(self.host.plan(request))

    def drawn(self, *upscale: str) -> Job:
        return self.store.until_ended(self.submit(*upscale).uuid)

    def picture(self, job: Job) -> Image.Image:
        return Image.open(self.host.folders.images / job.images[0])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, wheel: Wheel) -> Iterator[Served]:
    """Serve with three plugins in environments of their own."""
    if sorted(path.name.split("-")[1] for path in WHEELS.glob("numpy-*.whl")) != ["1.26.4", "2.2.6"]:
        pytest.skip("the two wheels of numpy are not in .cache/wheels; `make networks` fetches them")
    root = tmp_path_factory.mktemp("served")
    apart = isolation(root, {"rough": {"diary": str(root / "diary.txt")}})
    for name, pin in PINS.items():
        apart.install(
            str(wheel(name, _numbered(name), requires=(pin,))),
            ["--no-index", "--no-compile", "--find-links", str(WHEELS)],
        )
    apart.install(str(wheel("rough", ROUGH)), ["--no-index"])
    (root / "plugins.toml").write_text(
        "[plugins.one]\nisolated = true\n[plugins.two]\nisolated = true\n"
        f"[plugins.rough]\nisolated = true\ntime_limit_s = 60\ndiary = '{root / 'diary.txt'}'\n"
    )
    store = JobMemory()
    with Host.open(Folders(root), Settings(), plugins_file=root / "plugins.toml", store=store) as host:
        host.start()
        yield Served(host, store)
    # no test of a host that is gone: tests come in any order
    lines = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
    assert [line for line in lines if "isolation/runner.py" in line] == []


def test_two_numpy_majors_serve_one_host(served: Served) -> None:
    job = served.drawn("one", "two")
    assert job.error is None
    assert set(job.plan.notes) >= {"one plans with numpy 1.26.4", "two plans with numpy 2.2.6"}
    picture = served.picture(job)
    assert picture.size == (256, 256)
    # the first drew at (0, 0) of its picture, which the second enlarged, and then at (0, 1) of its own
    assert picture.getpixel((0, 0)) == (1, 26, 4)
    assert picture.getpixel((0, 1)) == (2, 2, 6)


def test_one_that_ends_itself_leaves_the_host_answering(served: Served) -> None:
    job = served.drawn("killed")
    worker = served.host.worker_pid
    assert job.status is JobStatus.ERROR
    assert job.error == (
        "the plugin 'rough' was ended by SIGKILL in upscale; the next call starts its process anew"
    )
    assert served.drawn("same").error is None
    assert served.drawn("two").error is None
    assert served.host.worker_pid == worker  # nobody else noticed
    assert {row.name: row.status for row in served.host.plugins()}["rough"] == "on"


def test_a_job_that_hangs_in_a_plugin_can_be_stopped(served: Served) -> None:
    job = served.submit("hangs")
    _until(lambda: "hangs" in (served.host.progress(job.uuid).task))  # type: ignore[union-attr]  # submitted
    assert served.host.stop(job.uuid)
    ended = served.store.until_ended(job.uuid, timeout_s=10)
    assert ended.error == "The invocation was terminated prematurely"
    assert served.drawn("same").error is None


def _until(holds: Any) -> None:
    import time

    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
