from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.api.resolver import NAME
from stretto.host import NodeRequest
from stretto.host.contracts.protocols import Frame
from stretto.host.contracts.steps import CheckSafety
from stretto.host.steps import desk, layers
from stretto.host.steps.dispatch import CoreSteps
from stretto.host.steps.safety import among_kept
from stretto.host.testing.safety import make_tiny_safety_checker


@pytest.fixture
def strict(studio: Any) -> Iterator[Callable[[float], None]]:
    """Put a checker of a given threshold where the studio's host looks for one."""
    folder = studio.host.folders.model_folder("safety-checker")
    # other weights as well: files are told apart by samples of their content
    yield lambda threshold: make_tiny_safety_checker(folder, threshold=threshold, seed=9 + int(threshold))
    for file in folder.iterdir():
        file.unlink()


def folders_of(studio: Any, job: Any) -> tuple[list[str], list[str]]:
    folders = studio.host.folders
    return tuple(
        sorted(path.name for path in folder.glob(f"*{job.bench.job}*"))
        for folder in (folders.images, folders.intermediates)
    )


def test_what_is_flagged_is_withheld(studio, strict):
    strict(-1.0)
    job = studio.job(safe=True, samples=2, outscale=2, upscale=("lanczos",), image_callback_steps=1)
    frame = studio.run(job)
    assert frame.files == ("nsfw", "nsfw")
    assert folders_of(studio, job) == ([], [])
    assert all(not image.getbbox() for image in frame.images), "a withheld picture is still in memory"
    assert "safe: 2 of 2 pictures were withheld" in job.bench.plan.notes


def test_of_nodes_nothing_unchecked_is_left(studio, strict, monkeypatch):
    """What one node hands to the next is put down where nobody is served from, and not for long."""
    kept = []
    put_down = desk.put_down
    for module in (desk, layers):
        monkeypatch.setattr(
            module, "put_down", lambda *given: kept.append(Path(put_down(*given).path)) or put_down(*given)
        )
    strict(-1.0)
    nodes = (NodeRequest(w=64, h=64, prompt="a cat"),)
    job = studio.job(safe=True, nodes=nodes, width=128, height=64, num_inference_steps=2)
    assert studio.run(job).files == ("nsfw",)
    assert folders_of(studio, job) == ([], [])
    assert [path.name for path in kept] == [f".{job.bench.job}_{name}.png" for name in ("canvas", "rest")]
    assert not NAME.fullmatch(kept[0].name), "served"


def test_what_is_not_flagged_is_as_it_would_be(studio, strict):
    strict(1.0)
    job = studio.job(safe=True, samples=2)
    frame = studio.run(job)
    assert frame.files == tuple(f"{job.bench.job}_{index}.png" for index in (0, 1))
    free = studio.run(studio.job(samples=2))
    assert [image.tobytes() for image in frame.images] == [image.tobytes() for image in free.images]


def test_a_safe_plan_keeps_its_checker_in_its_record(studio, strict):
    strict(1.0)
    plan = studio.plan(safe=True)
    assert plan_from_json(plan.to_json()) == plan
    assert plan.checker.fingerprint
    assert not plan.intermediates


def test_the_others_go_on_without_the_withheld_ones(studio, strict):
    strict(1.0)
    job = studio.job(samples=3, safe=True)
    drawn = studio.run(job, job.steps[:1])
    seen = []

    def enlarge(step, frame, bench):
        seen.append(len(frame.images))
        return Frame(images=tuple(image.resize((128, 128)) for image in frame.images), flagged=frame.flagged)

    after = among_kept(enlarge, None, Frame(images=drawn.images, flagged=(1,)), job.bench)
    assert seen == [2]
    assert [image.size for image in after.images] == [(128, 128), (64, 64), (128, 128)]
    saved = CoreSteps().run_step(job.steps[-1], after, job.bench)
    assert saved.files == (f"{job.bench.job}_0.png", "nsfw", f"{job.bench.job}_2.png")


def test_nothing_is_done_when_all_are_withheld(studio):
    frame = Frame(images=studio.draw(), flagged=(0,))
    assert among_kept(lambda *_: pytest.fail("called"), None, frame, None) is frame


def test_a_sample_that_was_flagged_once_stays_withheld(studio, strict):
    strict(1.0)
    job = studio.job(safe=True, samples=2)
    check = next(step for step in job.steps if isinstance(step, CheckSafety))
    drawn = studio.run(job, job.steps[:1])
    frame = CoreSteps().run_step(check, Frame(images=drawn.images, flagged=(0,)), job.bench)
    assert frame.flagged == (0,)
    assert not frame.images[0].getbbox()
    assert frame.images[1].tobytes() == drawn.images[1].tobytes()
