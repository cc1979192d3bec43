"""`stretto engines`: what the commands print, and how they exit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stretto.api.cli.engine_rows import engines_row
from stretto.api.cli.main import run
from stretto.api.cli.options import Place
from stretto.host.settings import Folders
from stretto.trt_cache.locks import held
from stretto.trt_cache.store import EngineStore, State

from ...trt_cache.engines import KEY, key, put


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("STRETTO_DATA_DIR", str(tmp_path / "data"))
    return EngineStore(tmp_path / "data" / "engines")


@pytest.fixture
def said(capsys):
    """Give what runs a command and gives its status, stdout and stderr."""

    def call(*words):
        status = run(["engines", *words])
        out = capsys.readouterr()
        return status, out.out, out.err

    return call


def test_an_empty_folder_is_an_empty_table_with_a_hint(said, tmp_path):
    status, out, err = said("list")
    heads, hint = out.splitlines()
    assert (status, err) == (0, "")
    assert heads.split()[:3] == ["ENGINE", "COMPONENT", "MODEL"]
    assert hint.startswith(f"There are no engines in {tmp_path / 'data' / 'engines'}. ")
    assert said("list", "--json") == (0, "[]\n", "")
    assert said("verify")[0] == 0
    assert not (tmp_path / "data").exists()


def test_the_list_says_what_is_known(said, store):
    engine = put(store)
    failed = put(store, key(target="sm89", component="vae_decoder"))
    store.quarantine(failed.digest, {"why": "an error of 0.2"})
    store.used(engine.digest)
    (store.root / ("e" * 64)).mkdir()
    _, out, _ = said("list")
    first, second, third = out.splitlines()[1:]
    assert first.split()[:6] == [engine.digest[:12], "unet", "mine.safetensors", "512", "px", "tensorrt"]
    assert "with ink.safetensors" in first
    assert "never" not in first
    assert "quarantined" in second
    assert "an error of 0.2; foreign: it is for GPUs of sm89, and there is none here" in second
    assert third.split()[0] == "e" * 12
    assert "unreadable" in third
    assert "it has no manifest" in third
    rows = json.loads(said("list", "--json")[1])
    assert [row["state"] for row in rows] == ["unverified", "quarantined", "unreadable"]
    assert rows[0]["peak_bytes"] > 0


def test_an_engine_is_shown_by_its_first_digits(said, store):
    engine = put(store)
    status, out, _ = said("show", engine.digest[:6])
    shown = json.loads(out)
    assert status == 0
    assert (shown["key"], shown["path"]) == (KEY.to_json(), str(engine.path))
    assert shown["files"]["engine.plan"] == [4000, engine.manifest.files["engine.plan"].sha256]
    assert said("show", "0000")[0] == 1
    status, _, err = said("show", engine.digest[:3])
    assert (status, "give 4 digits" in err) == (2, True)


def test_digits_that_begin_two_digests_are_refused(said, store):
    engine = put(store)
    twin = engine.digest[:8] + "0" * 56
    (store.root / twin).mkdir()
    status, _, err = said("remove", engine.digest[:8])
    assert (status, twin in err) == (2, True)
    assert store.find(KEY) is not None


def test_verify_exits_with_1_for_damage(said, store):
    engine = put(store)
    assert said("verify") == (0, said("verify", engine.digest)[1], "")
    path = engine.path / "engine" / "engine.plan"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    status, out, _ = said("verify")
    assert status == 1
    assert "engine.plan has another SHA-256 than was built" in out
    (engine.path / "manifest.json").write_text("{")
    status, out, _ = said("verify", "--json")
    assert status == 1
    assert [(row["sound"], row["state"]) for row in json.loads(out)] == [(False, "unreadable")]


def test_prune_says_what_goes(said, store):
    engine = put(store)
    assert said("prune")[0] == 2
    for wrong in ("3x", "", "-1d", "nan", "infd"):
        assert said("prune", "--older-than", wrong)[0] == 2
    assert said("prune", "--older-than", "1d") == (0, "0 engines, 0.0 MB\n", "")
    _, out, _ = said("prune", "--max-size", "0.01M", "--dry-run")
    assert out.startswith(f"would remove {engine.digest[:12]} (mine.safetensors unet, tensorrt for cpu): ")
    assert store.find(KEY) is not None
    (store.root / f".part-{'f' * 64}-x").mkdir()
    _, out, _ = said("prune", "--max-size", "10k", "--json")
    assert [row["digest"] for row in json.loads(out)] == [engine.digest]
    assert [path.name for path in store.root.iterdir()] == [".locks"]


def test_prune_of_orphans_looks_at_the_weights(said, store, starter_path):
    put(store)  # its weights never were here
    status, out, err = said("prune", "--orphaned")
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith(": its weights are gone or changed")
    assert store.all() == ()


def test_remove(said, store):
    engine = put(store)
    with held(store.root, engine.digest):
        status, _, err = said("remove", engine.digest)
    assert (status, "in the hands of another process" in err) == (1, True)
    assert said("remove", engine.digest[:12]) == (0, f"removed {engine.digest[:12]}\n", "")
    assert said("remove", engine.digest[:12])[0] == 1
    assert said("remove")[0] == 2


def test_export_and_import(said, store, tmp_path):
    engine = put(store)
    store.set_parity(engine.digest, {"passed": True}, State.VERIFIED)
    damaged = put(store, key(target="sm89"))
    (damaged.path / "engine" / "engine.plan").unlink()
    status, out, _ = said("export", "engines.tar")
    assert status == 0
    assert out.splitlines()[-1].startswith("1 engines, ")
    assert said("export", "engines.tar")[0] == 2
    assert said("export", "other.tar", damaged.digest[:12])[0] == 2
    there = ("--engine-dir", str(tmp_path / "there"))
    status, out, _ = said("import", "engines.tar", *there)
    assert (status, out.splitlines()[-1]) == (0, "1 engines are new here")
    assert said("import", "engines.tar", *there)[1] == "0 engines are new here\n"
    assert EngineStore(tmp_path / "there").find(KEY).state is State.UNVERIFIED
    Path("bad.tar").write_bytes(b"bad")
    status, _, err = said("import", "bad.tar")
    assert (status, "no archive of engines" in err) == (2, True)
    assert said("import", "gone.tar")[0] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar", "data", "engines.tar", "there"]


def test_the_doctor_counts_engines(store):
    place = Place(folders=Folders(store.root.parent), plugins_file=None)
    assert engines_row(place).found == f"{store.root}: empty"
    engine = put(store)
    assert engines_row(place).found == f"{store.root}: 1 unverified, 0.0 MB"
    (engine.path / "engine" / "engine.plan").unlink()
    found = engines_row(place)
    assert (found.status, found.needed) == ("broken", False)
    assert found.fix == f"stretto engines remove --engine-dir {store.root} {engine.digest[:12]}"
