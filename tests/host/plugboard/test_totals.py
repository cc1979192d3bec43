from __future__ import annotations

import logging
from pathlib import Path

import pytest
from filelock import FileLock
from stretto.host.contracts.costs import Spent
from stretto.host.plugboard import totals as module
from stretto.host.plugboard.totals import COSTS_NAME, Totals, read_totals


def spent(calls: int = 1, **more: object) -> Spent:
    values: dict[str, object] = {"plugin": "mine", "hook": "observe", "calls": calls, "seconds": 0.5} | more
    return Spent(**values)  # type: ignore[arg-type]  # as they are named


def test_processes_add_to_one_file(tmp_path: Path) -> None:
    one, another = Totals(tmp_path), Totals(tmp_path)
    one.add([spent(2), spent(failures=1, last="no"), spent(plugin="other")])
    one.write()
    another.add([spent(overruns=1)])
    another.write()
    one.write()  # which has nothing new
    assert read_totals(tmp_path, "mine") == (spent(4, seconds=1.5, failures=1, overruns=1, last="no"),)
    assert {row.plugin for row in read_totals(tmp_path)} == {"mine", "other"}


def test_it_is_time_to_write_every_five_seconds(tmp_path: Path) -> None:
    now = [100.0]
    totals = Totals(tmp_path, lambda: now[0])
    now[0] = 104.9
    assert not totals.due
    now[0] = 105.0
    assert totals.due
    totals.write()
    assert not totals.due


@pytest.mark.parametrize("text", ["{", "[]", '{"mine": {"observe": {"calls": 1}}}', '{"mine": 1}'])
def test_a_file_that_cannot_be_read_begins_anew(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / COSTS_NAME).write_text(text)
    with caplog.at_level(logging.WARNING):
        assert read_totals(tmp_path) == ()
    assert f"{COSTS_NAME} cannot be read" in caplog.text
    totals = Totals(tmp_path)
    totals.add([spent()])
    totals.write()
    assert read_totals(tmp_path) == (spent(),)


def test_what_cannot_be_written_is_kept_for_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = tmp_path / "away"
    totals = Totals(away)
    totals.add([spent(), spent()])
    (tmp_path / "away").write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        totals.write()
    assert "what plugins cost cannot be kept in" in caplog.text
    away.unlink()
    away.mkdir()
    totals.write()
    assert read_totals(away) == (spent(2, seconds=1.0),)


def test_a_lock_that_another_process_keeps_delays_the_file_and_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    totals = Totals(tmp_path)
    totals.add([spent()])
    with FileLock(tmp_path / f".{COSTS_NAME}.lock"), caplog.at_level(logging.WARNING):
        totals.write()
        totals.add([spent()])
        totals.write()
    assert len([line for line in caplog.messages if "cannot be kept" in line]) == 1
    assert f".{COSTS_NAME}.lock for 0.05 s; end it if it is stopped" in caplog.text
    totals.write()
    assert "again, and nothing is lost" in caplog.text
    assert read_totals(tmp_path) == (spent(2, seconds=1.0),)


def test_a_file_that_may_not_be_read_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    totals, text = Totals(tmp_path), Path.read_text
    totals.add([spent()])
    totals.write()

    def forbidden(path: Path, *words: str) -> str:
        if path.name == COSTS_NAME:
            raise PermissionError(13, "Permission denied", str(path))
        return text(path, *words)

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(Path, "read_text", forbidden)
        assert read_totals(tmp_path) == ()
        totals.add([spent()])
        totals.write()
    assert "what plugins cost so far cannot be read in" in caplog.text
    totals.write()
    assert read_totals(tmp_path) == (spent(2, seconds=1.0),)
