from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from stretto.host.errors import ConfigurationError, UnavailableError
from stretto.host.plugboard import guard
from stretto.host.plugboard.guard import OFF_NAME, Guard, enable, enabling, read_off, switch_off

WHY = (
    "switched off after 3 failures in a row (the last: observe raised OSError: no); "
    "`stretto plugins enable mine` switches it on again"
)


def test_only_failures_in_a_row_of_one_hook_count() -> None:
    acted: list[tuple[str, int, str]] = []
    guard = Guard(lambda *told: acted.append(told), 3)
    for failed in ("a", "b", None, "c", "d"):
        guard.note("mine", "observe", failed)
    guard.note("mine", "run_step", "e")
    guard.note("other", "observe", "f")
    assert acted == []
    guard.note("mine", "observe", "g")
    assert acted == [("mine", 3, "g")]
    guard.note("mine", "run_step", "h")  # counts begin anew
    assert len(acted) == 1


def test_none_is_ever_switched_off_with_0() -> None:
    acted: list[str] = []
    guard = Guard(lambda *told: acted.append(told[0]))
    for _ in range(100):
        guard.note("mine", "observe", "no")
    assert acted == []


def test_who_is_off_stays_so_until_enabled(tmp_path: Path) -> None:
    assert read_off(tmp_path) == {}
    assert switch_off(tmp_path, "mine", 3, "observe raised OSError: no") == WHY
    switch_off(tmp_path, "other", 5, "x")
    assert read_off(tmp_path)["mine"] == WHY
    assert enable(tmp_path, "mine")
    assert not enable(tmp_path, "mine")
    assert set(read_off(tmp_path)) == {"other"}
    assert not [path for path in tmp_path.iterdir() if path.name not in (OFF_NAME, f".{OFF_NAME}.lock")]


@pytest.mark.parametrize("text", ["{", "[]", '{"mine": 5}', '{"mine": {}}', '{"mine": {"why": 1}}'])
def test_a_file_that_is_none_of_ours_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / OFF_NAME).write_text(text)
    with pytest.raises(ConfigurationError, match="which plugins are switched off, and cannot be read"):
        read_off(tmp_path)
    assert (tmp_path / OFF_NAME).read_text() == text


def test_who_is_tried_in_vain_stands_there_again(tmp_path: Path) -> None:
    switch_off(tmp_path, "mine", 3, "observe raised OSError: no")

    def tried() -> None:
        with enabling(tmp_path, ["mine", "other"]):
            assert read_off(tmp_path) == {}
            raise ConfigurationError("it does not come up")

    with pytest.raises(ConfigurationError, match="does not come up"):
        tried()
    assert read_off(tmp_path) == {"mine": WHY}
    with enabling(tmp_path, ["mine"]):
        pass
    assert read_off(tmp_path) == {}


def test_a_lock_that_another_process_keeps_is_waited_for_no_longer_than_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    switch_off(tmp_path, "mine", 3, "observe raised OSError: no")
    monkeypatch.setattr(guard, "PATIENCE_S", 0.05)
    with FileLock(tmp_path / f".{OFF_NAME}.lock"):
        said = r"cannot be changed \(another process has held .*\.lock for 0\.05 s; .* nothing is changed; try again"
        with pytest.raises(UnavailableError, match=said):
            enable(tmp_path, "mine")
        with pytest.raises(UnavailableError, match=said):
            switch_off(tmp_path, "other", 3, "no")
    assert read_off(tmp_path) == {"mine": WHY}

    lock = FileLock(tmp_path / f".{OFF_NAME}.lock")

    def tried() -> None:
        with enabling(tmp_path, ["mine"]):
            lock.acquire()
            raise ConfigurationError("it does not come up")

    with pytest.raises(ConfigurationError, match="it does not come up"):
        tried()
    lock.release()
    assert "mine stay switched on, for who is off cannot be kept" in caplog.text
