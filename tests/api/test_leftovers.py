"""Input images that nobody needs are swept; those of any job stay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pony.orm import db_session
from stretto.api import leftovers
from stretto.api.leftovers import KEEP_S, sweep_inputs, sweeping
from stretto.host.contracts.ports import Job, JobStatus

from .plans import FULL

pytestmark = pytest.mark.both_databases


def laid(folder, digest, age_s=2 * KEEP_S):
    file = folder / f"{digest}.png"
    file.write_bytes(b"png")
    stamp = time.time() - age_s
    os.utime(file, (stamp, stamp))
    return file


def digests():
    return [f"{number:064x}" for number in range(1, 6)]


@pytest.fixture
def named(store):
    """Give the SHA-256 of an image that a queued job needs."""
    store.add(Job(uuid="a" * 32, user_id=0, plan=FULL, status=JobStatus.QUEUED), limit=9)
    (sha256,) = {node.image.sha256 for node in FULL.nodes if node.image is not None}
    return sha256


def test_what_no_job_names_goes_after_a_week(folders, records, named):
    kept = laid(folders.inputs, named)
    gone = [laid(folders.inputs, digest) for digest in digests()]
    fresh = laid(folders.inputs, "f" * 64, age_s=KEEP_S / 2)
    assert sweep_inputs(folders.inputs, records) == len(gone)
    assert sorted(folders.inputs.iterdir()) == sorted([kept, fresh])


def test_a_finished_jobs_images_stay_until_its_row_goes(folders, records, store, named):
    kept = laid(folders.inputs, named)
    store.claim()
    store.finish("a" * 32, images=(), plan=FULL)
    assert sweep_inputs(folders.inputs, records) == 0
    with db_session:
        records.invocation.get(uuid="a" * 32).delete()
    assert sweep_inputs(folders.inputs, records) == 1
    assert not kept.exists()


def test_an_image_that_is_sent_again_at_that_moment_stays(folders, records, monkeypatch):
    file = laid(folders.inputs, digests()[0])
    rename = Path.rename

    def touched(path, target):
        os.utime(path)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", touched)
    assert sweep_inputs(folders.inputs, records) == 0
    assert [entry.name for entry in folders.inputs.iterdir()] == [file.name]


def test_many_plans_are_read_a_few_at_a_time(folders, records, store, monkeypatch):
    monkeypatch.setattr(leftovers, "PLANS", 2)
    for number in range(5):
        store.add(Job(uuid=f"{number:032x}", user_id=0, plan=FULL), limit=9)
    assert len(list(leftovers._plans(records))) == 5


def test_a_server_sweeps_when_it_starts(folders, records):
    file = laid(folders.inputs, digests()[0])
    with sweeping(folders.inputs, records):
        deadline = time.monotonic() + 60
        while file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert not file.exists()
