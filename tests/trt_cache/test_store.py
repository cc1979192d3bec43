"""Engines are found by their key, built once, noted, pruned, and carried to other folders."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from stretto.trt_cache.faults import (
    ArchiveError,
    BuildStoppedError,
    BusyError,
    CacheError,
    UnknownEngineError,
)
from stretto.trt_cache.locks import held
from stretto.trt_cache.manifest import read_manifest
from stretto.trt_cache.store import EngineStore, State

from .engines import ABOUT, FILES, KEY, key, leftovers, put, write

HIT_S = 0.005


@pytest.fixture
def store(tmp_path):
    return EngineStore(tmp_path / "engines")


def test_a_folder_that_is_not_there_is_an_empty_store(store):
    assert (store.find(KEY), store.all(), store.unreadable(), store.sweep()) == (None, (), (), 0)
    assert not store.root.exists()


def test_an_engine_is_kept_with_all_that_is_known_of_it(store):
    begun = datetime.now(UTC)
    engine = put(store)
    assert {
        path.relative_to(engine.path / "engine").as_posix(): path.read_bytes()
        for path in (engine.path / "engine").rglob("*")
        if path.is_file()
    } == FILES
    manifest = read_manifest(engine.path)
    assert (engine.path.name, manifest.key, manifest.model) == (KEY.digest, KEY, ABOUT)
    assert (engine.digest, engine.state, manifest.last_used) == (KEY.digest, State.UNVERIFIED, None)
    assert manifest.size_bytes == sum(map(len, FILES.values()))
    assert begun <= manifest.created_at <= datetime.now(UTC)
    assert manifest.peak_bytes > 2**20
    assert EngineStore(store.root).find(KEY) == store.find(KEY) == engine
    assert leftovers(store.root) == []


def test_what_is_there_is_not_built(store):
    engine = put(store)
    assert store.get_or_build(KEY, lambda _out: pytest.fail("built again"), ABOUT) == engine
    assert put(store, key(target="sm89")).digest != engine.digest


def test_a_hit_takes_milliseconds(store):
    store.get_or_build(KEY, lambda out: (out / "large").write_bytes(bytes(2**24)), ABOUT)
    times = []
    for _ in range(21):
        begun = time.perf_counter()
        assert store.find(key()) is not None
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) <= HIT_S


def test_a_file_is_read_once_for_its_time_of_change(store):
    path = put(store).path / "engine" / "engine.plan"
    stat = path.stat()
    assert store.find(KEY).state is State.UNVERIFIED
    path.write_bytes(b"x" * stat.st_size)
    assert store.find(KEY).state is State.DAMAGED


def test_the_compiler_may_use_the_folder_beside_its_own(store):
    def build(out):
        (out.parent / "export").mkdir()
        (out.parent / "export" / "model.onnx").write_bytes(b"large")
        (out.parent / "note").write_bytes(b"")
        write(out)

    engine = store.get_or_build(KEY, build, ABOUT)
    assert sorted(path.name for path in engine.path.iterdir()) == ["engine", "manifest.json"]


def test_states_and_uses_are_written_down(store):
    engine = put(store)
    assert store.set_parity(engine.digest, {"max_error": 1e-3, "passed": True}, State.VERIFIED)
    store.used(engine.digest)
    found = EngineStore(store.root).find(KEY)
    assert found.state is State.VERIFIED
    assert found.manifest.parity == {"max_error": 1e-3, "passed": True}
    first = found.manifest.last_used
    assert timedelta() <= datetime.now(UTC) - first < timedelta(minutes=1)
    store.used(engine.digest)  # within a minute nothing is written
    assert store.find(KEY).manifest.last_used == first
    store.used("0" * 64)  # gone meanwhile
    assert store.set_parity("0" * 64, None, State.VERIFIED) is False
    with pytest.raises(CacheError, match="found by looking"):
        store.set_parity(engine.digest, None, State.DAMAGED)


def test_an_engine_that_gives_no_numbers_is_quarantined(store):
    store.quarantine(
        put(store).digest, {"max_error": float("nan"), "mean_error": float("inf"), "cosine": 0.5}
    )
    found = EngineStore(store.root).find(KEY)
    assert found.state is State.QUARANTINED
    assert found.manifest.parity == {"max_error": "nan", "mean_error": "inf", "cosine": 0.5}


def test_who_waits_for_another_process_may_stop(store):
    with held(store.root, KEY.digest):
        with pytest.raises(BusyError, match="in the hands of another process"):
            store.get_or_build(KEY, write, ABOUT, timeout_s=0.05)
        with pytest.raises(BuildStoppedError):
            store.get_or_build(KEY, write, ABOUT, timeout_s=60.0, cancelled=lambda: True)
    assert store.all() == ()


def test_threads_build_one_engine_once(store):
    builds = []

    def build(out):
        builds.append(out)
        time.sleep(0.1)
        write(out)

    threads = [threading.Thread(target=store.get_or_build, args=(KEY, build, ABOUT)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1


def test_removing(store):
    engine = put(store)
    with held(store.root, engine.digest), pytest.raises(BusyError):
        store.remove(engine.digest, timeout_s=0.0)
    (engine.path / "manifest.json").write_text("{")
    store.remove(engine.digest)
    assert (store.all(), store.unreadable(), leftovers(store.root)) == ((), (), [])
    for unknown in (engine.digest, "../engines", ""):
        with pytest.raises(UnknownEngineError):
            store.remove(unknown)


def _aged(store, days, **values):
    """Put an engine that was last used so many days ago."""
    engine = put(store, key(**values))
    used = datetime.now(UTC) - timedelta(days=days)
    replace(engine.manifest, last_used=used).write(engine.path)
    return engine.digest


def test_pruning_by_age_size_and_lost_weights(store):
    old, middle, young = (_aged(store, days, target=f"sm{days}0") for days in (9, 5, 1))
    assert [gone.digest for gone, _ in store.prune(older_than_s=7 * 86400, dry=True)] == [old]
    assert len(store.all()) == 3
    assert [(gone.digest, why) for gone, why in store.prune(older_than_s=7 * 86400)] == [
        (old, "unused for 9 days")
    ]
    size_bytes = store.all()[0].manifest.size_bytes
    assert store.prune(max_bytes=2 * size_bytes) == ()
    assert [gone.digest for gone, _ in store.prune(max_bytes=2 * size_bytes - 1)] == [middle]
    assert store.prune(orphaned=lambda manifest: manifest.key.target == "sm80") == ()
    with held(store.root, young):
        assert store.prune(max_bytes=0) == ()  # somebody has it in hand
    assert [why for _, why in store.prune(orphaned=lambda _manifest: True)] == [
        "its weights are gone or changed"
    ]
    assert store.all() == ()


def test_engines_are_carried_to_another_folder(store, tmp_path):
    first, second = put(store), put(store, key(target="sm89"))
    store.set_parity(first.digest, {"passed": True}, State.VERIFIED)
    store.quarantine(second.digest, {"why": "too far"})
    archive = tmp_path / "engines.tar"
    assert {engine.digest for engine in store.export([first.digest, second.digest], archive)} == {
        first.digest,
        second.digest,
    }
    there = EngineStore(tmp_path / "there")
    assert len(there.import_(archive)) == 2
    assert there.find(KEY).state is State.UNVERIFIED  # it has not run there
    assert there.find(second.key).state is State.QUARANTINED
    assert there.find(KEY).manifest.files == store.find(KEY).manifest.files
    assert str(there.find(KEY).manifest.model.sources[1].path) == "ink.safetensors"  # no folder of ours
    assert b"/models/" not in archive.read_bytes()
    assert there.import_(archive) == ()  # they are there
    (there.find(KEY).path / "engine" / "engine.plan").unlink()
    assert [engine.digest for engine in there.import_(archive)] == [first.digest]
    assert leftovers(there.root) == []


def test_only_sound_engines_are_exported_and_no_file_is_overwritten(store, tmp_path):
    engine, archive = put(store), tmp_path / "engines.tar"
    with pytest.raises(ArchiveError, match="no engine"):
        store.export([], archive)
    with pytest.raises(UnknownEngineError):
        store.export(["0" * 64], archive)
    (engine.path / "engine" / "engine.plan").write_bytes(b"other")
    with pytest.raises(ArchiveError, match="has 5 bytes"):
        store.export([engine.digest], archive)
    (engine.path / "manifest.json").unlink()
    with pytest.raises(ArchiveError, match="no manifest"):
        store.export([engine.digest], archive)
    assert list(tmp_path.iterdir()) == [store.root]
    archive.write_bytes(b"kept")
    with pytest.raises(ArchiveError, match="there already"):
        store.export([put(store).digest], archive)
    assert archive.read_bytes() == b"kept"
