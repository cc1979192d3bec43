"""Everything that can happen to an engine leads to what docs/reference/engine-faults.md says of it."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stretto.api.cli.main import run
from stretto.trt_cache.faults import CacheError
from stretto.trt_cache.store import EngineStore, State

from .bad_archives import archive_that_leads_out, changed_archive, cut_archive
from .engines import ABOUT, FILES, KEY, key, leftovers, put, write

DOCS = Path(__file__).parents[2] / "docs"
_PR_CAPBSET_DROP = 24  # linux/prctl.h
_FILE_CAPABILITIES = (1, 2, 3)  # DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER: root heeds modes without them
PRELUDE = """
import os, sys, time
from pathlib import Path
from stretto.trt_cache.keys import EngineKey
from stretto.trt_cache.store import About, EngineStore, State
import json
store = EngineStore(Path(sys.argv[1]))
key = EngineKey.from_json(json.loads(sys.argv[2]))
about = About(model="mine.safetensors", size_px=512)
"""


def _faults():
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location("engine_faults", DOCS / "engine_faults.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["engine_faults"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module.FAULTS


def _child(code, root, **options):
    command = [sys.executable, "-c", PRELUDE + code, str(root), json.dumps(KEY.to_json())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def _ended(child):
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    return out


def _plan(root):
    return root / KEY.digest / "engine" / "engine.plan"


def _manifest(root):
    return root / KEY.digest / "manifest.json"


def flipped_byte(root):
    put(EngineStore(root))
    raw = bytearray(_plan(root).read_bytes())
    raw[1234] ^= 1
    _plan(root).write_bytes(raw)
    assert EngineStore(root).verify(KEY.digest).why == "engine.plan has another SHA-256 than was built"


def cut_file(root):
    put(EngineStore(root))
    with _plan(root).open("r+b") as file:
        file.truncate(17)


def missing_file(root):
    put(EngineStore(root))
    (root / KEY.digest / "engine" / "data" / "weights.bin").unlink()


def truncated_manifest(root):
    put(EngineStore(root))
    _manifest(root).write_bytes(_manifest(root).read_bytes()[:300])


def missing_manifest(root):
    put(EngineStore(root))
    _manifest(root).unlink()


def manifest_that_leads_out(root):
    put(EngineStore(root))
    secret = root.parent / "secret"
    secret.write_bytes(b"kept")
    plain = json.loads(_manifest(root).read_text())
    plain["files"] = {"../../../secret": [4, "0" * 64]}
    _manifest(root).write_text(json.dumps(plain))
    assert secret.read_bytes() == b"kept"


def another_engines_folder(root):
    other = put(EngineStore(root), key(graph="1" * 64))
    other.path.rename(root / KEY.digest)


def newer_manifest(root):
    put(EngineStore(root))
    plain = json.loads(_manifest(root).read_text())
    _manifest(root).write_text(json.dumps({"version": plain["version"] + 1, "of": "another form"}))


def foreign_gpu(root):
    put(EngineStore(root), key(target="sm75"))


def another_library_version(root):
    put(EngineStore(root), key(version="tensorrt 10.7"))


def changed_checkpoint(root):
    put(EngineStore(root), key(graph="2" * 64))


def changed_adapter(root):
    put(EngineStore(root), key(graph="3" * 64))


def failed_parity(root):
    store = EngineStore(root)
    engine = put(store)
    assert store.quarantine(engine.digest, {"why": "a mean error of 0.2"})
    assert store.find(KEY).manifest.parity == {"why": "a mean error of 0.2"}


def read_only_folder(root):
    put(EngineStore(root))
    with _read_only(root):
        code = """
found = store.find(key)
store.used(found.digest)
assert store.set_parity(found.digest, {"passed": True}, State.VERIFIED) is False
assert store.find(key).state is State.VERIFIED  # this process knows
try:
    store.get_or_build(EngineKey.from_json({**key.to_json(), "target": "sm80"}), lambda out: None, about)
except PermissionError as error:
    print("refused", found.state)
"""
        assert _ended(_child(code, root, preexec_fn=_heeding_modes)) == "refused unverified\n"


def no_disk_left(root):
    root.mkdir()

    def build(out):
        write(out)
        (out / "large").write_bytes(bytes(2**21))

    with _largest_file(2**20), pytest.raises(OSError, match="File too large"):
        EngineStore(root).get_or_build(KEY, build, ABOUT)


def failed_build(root):
    store = EngineStore(root)

    def fail(out):
        write(out)
        raise RuntimeError("no tactic")

    with pytest.raises(RuntimeError, match="no tactic"):
        store.get_or_build(KEY, fail, ABOUT)
    with pytest.raises(CacheError, match="wrote no files"):
        store.get_or_build(KEY, lambda _out: None, ABOUT)
    with pytest.raises(CacheError, match="plain files"):
        store.get_or_build(KEY, lambda out: (out / "link").symlink_to("/etc/passwd"), ABOUT)


def killed_build(root):
    code = """
def build(out):
    (out / "engine.plan").write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
store.get_or_build(key, build, about)
"""
    child = _child(code, root)
    assert child.stdout.readline() == "begun\n"
    assert EngineStore(root).find(KEY) is None
    assert EngineStore(root).sweep() == 0  # it is in hand
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert [name[:10] for name in leftovers(root)] == [f".part-{KEY.digest[:4]}"]


def two_builders(root):
    root.mkdir()
    code = """
def build(out):
    with open(os.path.join(sys.argv[1], "..", "builds"), "a") as file:
        file.write("built\\n")
    time.sleep(0.5)
    (out / "engine.plan").write_bytes(b"whole")
print(store.get_or_build(key, build, about).manifest.created_at)
"""
    first, second = _child(code, root), _child(code, root)
    assert _ended(first) == _ended(second)
    assert (root.parent / "builds").read_text() == "built\n"


def removed_while_read(root):
    store = EngineStore(root)
    engine = put(store)
    with (engine.path / "engine" / "engine.plan").open("rb") as file:
        assert [gone.digest for gone, _ in EngineStore(root).prune(max_bytes=0)] == [engine.digest]
        assert file.read() == FILES["engine.plan"]


def replaced_while_read(root):
    missing_file(root)
    store = EngineStore(root)
    with _plan(root).open("rb") as file:
        assert store.find(KEY).state is State.DAMAGED
        put(EngineStore(root))
        assert file.read() == FILES["engine.plan"]
    assert store.find(KEY).state is State.UNVERIFIED


SCENARIOS = {
    "flipped byte": flipped_byte,
    "cut file": cut_file,
    "missing file": missing_file,
    "truncated manifest": truncated_manifest,
    "missing manifest": missing_manifest,
    "manifest that leads out": manifest_that_leads_out,
    "another engine's folder": another_engines_folder,
    "newer manifest": newer_manifest,
    "foreign GPU": foreign_gpu,
    "another library version": another_library_version,
    "changed checkpoint": changed_checkpoint,
    "changed adapter": changed_adapter,
    "failed parity": failed_parity,
    "read-only folder": read_only_folder,
    "no disk left": no_disk_left,
    "failed build": failed_build,
    "killed build": killed_build,
    "two builders": two_builders,
    "removed while read": removed_while_read,
    "replaced while read": replaced_while_read,
    "archive that leads out": archive_that_leads_out,
    "changed archive": changed_archive,
    "cut archive": cut_archive,
}
FAULTS = _faults()
FOUND = {
    State.UNVERIFIED: "the engine",
    State.DAMAGED: "a damaged engine",
    State.QUARANTINED: "a quarantined engine",
}


def test_every_fault_has_a_scenario():
    assert [fault.name for fault in FAULTS] == list(SCENARIOS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_leads_to_what_is_documented(fault, tmp_path, capsys):
    root = tmp_path / "engines"
    SCENARIOS[fault.name](root)
    store = EngineStore(root)
    engine = store.find(KEY)
    assert (FOUND[engine.state] if engine else "nothing") == fault.found
    assert run(["engines", "list", "--json", "--engine-dir", str(root), "--data-dir", str(tmp_path)]) == 0
    assert [row["state"] for row in json.loads(capsys.readouterr().out)] == (
        [] if fault.listed == "-" else [fault.listed]
    )
    assert _asked_to_build(store) == fault.build
    assert leftovers(root) == []


def _asked_to_build(store):
    built = []

    def build(out):
        built.append(out)
        write(out)

    try:
        engine = store.get_or_build(KEY, build, ABOUT)
    except CacheError:
        return "refused"
    if not built:
        return "taken as it is"
    assert engine == EngineStore(store.root).find(KEY)
    assert engine.state is State.UNVERIFIED
    return "built"


def _heeding_modes():
    if os.getuid() == 0:
        for capability in _FILE_CAPABILITIES:
            ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


@contextmanager
def _read_only(root: Path) -> Iterator[None]:
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & ~0o222)
    yield
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    """Bound the length of files that this process writes; Python ignores SIGXFSZ, so that writing fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
