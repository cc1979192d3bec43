from __future__ import annotations

import time
from dataclasses import replace

import pytest
from stretto.api.history import InvocationRow
from stretto.api.invocations import described
from stretto.host.contracts.ports import JobStatus
from stretto.host.runtime.progress import Progress

ROW = InvocationRow(
    id=3,
    uuid="a" * 32,
    user_id=0,
    status=JobStatus.QUEUED,
    started=1000.0,
    finished=None,
    total=45,
    images=(),
    error=None,
)
KEYS = ["id", "uuid", "status", "progress", "step", "duration", "total", "images", "rate"]


def test_queued_has_two_keys():
    assert described(ROW, None) == {"status": "queued", "uuid": ROW.uuid}


def test_error_has_three():
    row = replace(ROW, status=JobStatus.ERROR, error="no room", finished=1001.0)
    assert described(row, None) == {"status": "error", "uuid": ROW.uuid, "message": "no room"}


@pytest.mark.parametrize("progress", [None, Progress(uuid=ROW.uuid, status=JobStatus.QUEUED, step=9)])
def test_processing_is_all_null_at_first(progress):
    found = described(replace(ROW, status=JobStatus.PROCESSING, started=time.time() - 2), progress)
    assert list(found) == KEYS
    assert found["duration"] == pytest.approx(2, abs=0.5)
    assert [found[name] for name in ("progress", "step", "total", "images", "rate")] == [None] * 5


def test_processing_shows_progress_and_intermediates():
    progress = Progress(
        uuid=ROW.uuid,
        status=JobStatus.PROCESSING,
        step=9,
        total=45,
        rate=3.5,
        task="Denoising",
        intermediates=("intermediates/x.png",),
    )
    found = described(replace(ROW, status=JobStatus.PROCESSING), progress)
    assert list(found) == [*KEYS, "metadata"]
    assert (found["progress"], found["step"], found["total"], found["rate"]) == (0.2, 9, 45, 3.5)
    assert found["images"] == ["intermediates/x.png"]
    assert found["metadata"] == {"task": "Denoising", "remaining": 10.286}


COMPLETED = replace(ROW, status=JobStatus.COMPLETED, finished=1010.0, images=("a_0.png", "a_1.png"))


def test_completed_after_a_restart_knows_its_total():
    assert described(COMPLETED, None) == {
        "id": 3,
        "uuid": ROW.uuid,
        "status": "completed",
        "progress": 1,
        "step": 45,
        "duration": 10.0,
        "total": 45,
        "images": ["images/a_0.png", "images/a_1.png"],
        "rate": 4.5,
    }


def test_completed_prefers_what_the_engine_reported():
    found = described(COMPLETED, Progress(uuid=ROW.uuid, status=JobStatus.COMPLETED, total=50, rate=7.5))
    assert (found["step"], found["total"], found["rate"]) == (50, 50, 7.5)


def test_a_withheld_picture_is_the_contracts_word():
    found = described(replace(COMPLETED, images=("a_0.png", "nsfw")), None)
    assert found["images"] == ["images/a_0.png", "nsfw"]
