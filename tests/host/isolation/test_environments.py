from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from stretto.host.errors import ConfigurationError, NotFoundError, PluginError
from stretto.host.isolation.environments import environments, made_environment, remove_environment

from .conftest import Wheel

OFFLINE = ["--no-index"]
QUIET = "from stretto.host import hookimpl\n\n\n@hookimpl\ndef observe(event):\n    pass\n"


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_an_environment_knows_what_is_in_it(tmp_path: Path, wheel: Wheel) -> None:
    spec = str(wheel("quiet", QUIET))
    with made_environment(tmp_path, spec, OFFLINE) as made:
        assert environments(tmp_path) == ()  # not yet
    (known,) = environments(tmp_path)
    assert known == made
    assert (known.spec, known.distribution, known.version) == (spec, "stretto-quiet", "1.2")
    assert known.plugins == {"quiet": "quiet"}
    assert known.python == sys.implementation.cache_tag
    assert known.folder.name.startswith("stretto-quiet-1-2-py3-none-any-whl-")
    shown = subprocess.run(
        [known.interpreter, "-c", "import sys, quiet"], capture_output=True, text=True, check=False
    )
    assert "No module named 'stretto'" in shown.stderr  # it is shown the host's by what starts it


def test_a_newer_one_takes_the_place_of_the_older(tmp_path: Path, wheel: Wheel) -> None:
    spec = str(wheel("quiet", QUIET))
    for _ in range(2):
        with made_environment(tmp_path, spec, OFFLINE) as made:
            pass
    assert _folders(tmp_path) == [made.folder.name]
    assert environments(tmp_path) == (made,)


def test_removing_takes_all_of_it(tmp_path: Path, wheel: Wheel) -> None:
    with made_environment(tmp_path, str(wheel("quiet", QUIET)), OFFLINE) as made:
        pass
    with pytest.raises(
        NotFoundError, match=r"^no plugin 'quit' has an environment in .*; did you mean 'quiet'\?$"
    ):
        remove_environment(tmp_path, "quit")
    assert remove_environment(tmp_path, "quiet") == made
    assert _folders(tmp_path) == []


def test_nothing_is_left_of_one_that_fails(tmp_path: Path, wheel: Wheel) -> None:
    def fails() -> None:
        with made_environment(tmp_path, str(wheel("quiet", QUIET)), OFFLINE):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert _folders(tmp_path) == []


@pytest.mark.parametrize(
    ("requires", "entry", "message"),
    [
        (
            ("surely-not-there==1.0",),
            None,
            r"(?s)^pip could not install '.*' \(exit code 1\):\n.*surely-not-there",
        ),
        (("stretto>=99",), None, r"(?s)^pip could not install '.*stretto"),
        ((), "", r"^'.*' is no plugin: stretto-quiet has no entry point in the group 'stretto'$"),
    ],
    ids=["dependency", "host", "entry"],
)
def test_what_pip_cannot_do_is_said(
    tmp_path: Path, wheel: Wheel, requires: tuple[str, ...], entry: str | None, message: str
) -> None:
    spec = str(wheel("quiet", QUIET, requires=requires, entry=entry))

    def installs() -> None:
        with made_environment(tmp_path, spec, OFFLINE):
            pass

    with pytest.raises(PluginError, match=message):
        installs()
    assert _folders(tmp_path) == []


def test_what_was_left_half_made_goes_and_what_is_being_made_stays(tmp_path: Path, wheel: Wheel) -> None:
    for name in ("left", "busy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    spec = str(wheel("quiet", QUIET))
    with (
        FileLock(tmp_path / "busy" / ".making", is_singleton=False),
        made_environment(tmp_path, spec, OFFLINE) as made,
    ):
        assert _folders(tmp_path) == sorted(["busy", made.folder.name])


def test_what_another_command_deletes_at_the_same_time_is_gone(
    tmp_path: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = shutil.rmtree

    def deleted_first_by_another(folder: Path) -> None:
        delete(folder)
        delete(folder)

    with made_environment(tmp_path, str(wheel("quiet", QUIET)), OFFLINE):
        pass
    (tmp_path / "left").mkdir()
    monkeypatch.setattr("stretto.host.isolation.environments.shutil.rmtree", deleted_first_by_another)
    with pytest.raises(PluginError, match=r"^pip could not install 'nonesuch'"):
        made_environment(tmp_path, "nonesuch", OFFLINE).__enter__()
    remove_environment(tmp_path, "quiet")
    assert _folders(tmp_path) == []


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "environment.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"environment\.json is damaged .*; delete the folder "):
        environments(tmp_path)


def test_without_pip_it_says_how_to_get_it(
    tmp_path: Path, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.distributions", lambda **_named: iter(()))

    def installs() -> None:
        with made_environment(tmp_path, str(wheel("quiet", QUIET)), OFFLINE):
            pass

    with pytest.raises(ConfigurationError, match=r"has no pip; install it: .* -m ensurepip$"):
        installs()


def test_a_moved_data_directory_still_works(tmp_path: Path, wheel: Wheel) -> None:
    with made_environment(tmp_path / "a", str(wheel("quiet", QUIET)), OFFLINE):
        pass
    shutil.move(tmp_path / "a", tmp_path / "b")
    (known,) = environments(tmp_path / "b")
    assert known.interpreter.is_relative_to(tmp_path / "b")
    assert os.access(known.interpreter, os.X_OK)
