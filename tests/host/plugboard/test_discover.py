import sys
from pathlib import Path

import pytest
from stretto.host.plugboard.discover import Candidate, Found, discover, reason
from stretto.host.plugboard.switches import Switches

PLUGIN = (
    "import stretto.host as host\n__version__ = '3.1'\n@host.hookimpl\ndef register_vaes():\n    return []\n"
)


def package(folder: Path, name: str, entry: str, source: str = PLUGIN) -> None:
    """Lay an installed distribution, as pip would: a module beside its metadata."""
    (folder / f"{name}_module.py").write_text(source)
    metadata = folder / f"{name}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[stretto]\n{entry} = {name}_module\n")


def test_files_are_named_by_their_stem(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (one,) = discover(Switches(autoload=False, paths=(tmp_path / "mine.py",)), "0.1", ())
    assert (one.name, one.version, one.origin, one.error) == (
        "mine",
        "3.1",
        f"file {tmp_path / 'mine.py'}",
        None,
    )
    assert sys.modules["stretto_plugin_mine"] is one.plugin


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import absent_module_xyz", "ModuleNotFoundError: No module named 'absent_module_xyz'"),
        ("raise ValueError('no\\n  luck')", "ValueError: no luck"),
        ("raise SystemExit", "SystemExit"),
        ("def f(:", "SyntaxError: "),
    ],
)
def test_a_file_that_cannot_be_imported_is_kept_with_its_error(
    tmp_path: Path, source: str, error: str
) -> None:
    (tmp_path / "bad.py").write_text(source)
    (one,) = discover(Switches(autoload=False, paths=(tmp_path / "bad.py",)), "0.1", ())
    assert one.plugin is None
    assert str(one.error).startswith(error)
    assert "stretto_plugin_bad" not in sys.modules


@pytest.mark.parametrize(("name", "error"), [("absent.py", "FileNotFoundError"), ("note.txt", "ImportError")])
def test_a_path_that_is_no_python_file(tmp_path: Path, name: str, error: str) -> None:
    (tmp_path / "note.txt").write_text("")
    (one,) = discover(Switches(autoload=False, paths=(tmp_path / name,)), "0.1", ())
    assert str(one.error).startswith(error)


def test_entry_points_carry_their_packages_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "demo", "demo")
    package(tmp_path, "broken", "brk", "import absent_module_xyz")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = {one.name: one for one in discover(Switches(), "0.1", ())}
    assert (rows["demo"].origin, rows["demo"].version) == ("package demo", "1.2")
    assert rows["demo"].plugin is sys.modules["demo_module"]
    assert rows["brk"].error == (
        "ModuleNotFoundError: No module named 'absent_module_xyz'; install what has it, such as: "
        f"{sys.executable} -m pip install absent_module_xyz"
    )


def test_an_entry_point_may_name_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import stretto.host as host\nclass P:\n    @host.hookimpl\n    def register_vaes(self):\n        return []\n"
    package(tmp_path, "classy", "classy", source)
    (tmp_path / "classy-1.2.dist-info" / "entry_points.txt").write_text(
        "[stretto]\nclassy = classy_module:P\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {one.name: one for one in discover(Switches(), "0.1", ())}
    assert type(found["classy"].plugin).__name__ == "P"


def test_without_autoload_packages_are_listed_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "quiet", "quiet")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {one.name: one for one in discover(Switches(autoload=False), "0.1", ())}
    assert found["quiet"].off == "[host] autoload is false in plugins.toml"
    assert "quiet_module" not in sys.modules


def test_what_is_disabled_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text("raise ValueError")
    switches = Switches(autoload=False, disable=("lazy",), paths=(tmp_path / "lazy.py",))
    (one,) = discover(switches, "0.1", ())
    assert (one.off, one.error) == ("disabled by [host] disable in plugins.toml", None)


def test_of_two_with_one_name_the_later_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "vaes.py").write_text(PLUGIN)
    first, second = discover(Switches(autoload=False, paths=(tmp_path / "vaes.py",)), "0.1", ("vaes",))
    assert (first.origin, first.version, first.error) == ("built-in", "0.1", None)
    assert second.error == (
        f"the name 'vaes' is taken (built-in has it, and file {tmp_path / 'vaes.py'}); rename the file, which is its "
        "plugin's name"
    )


def test_a_reason_is_one_line() -> None:
    assert reason(ValueError("a\n b")) == "ValueError: a b"
    assert reason(KeyError()) == "KeyError"


def test_a_further_candidate_stands_for_the_file_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise ValueError")
    plugin = object()
    found = Found(name="mine", origin="somewhere else", version="7", rank=1)
    switches = Switches(paths=(tmp_path / "mine.py",))
    one = next(
        one
        for one in discover(switches, "0.1", (), more=[Candidate(found, lambda: plugin)])
        if one.name == "mine"
    )
    assert (one.origin, one.plugin, one.error) == ("somewhere else", plugin, None)


def test_what_is_said_to_be_off_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise ValueError")
    switches = Switches(autoload=False, paths=(tmp_path / "mine.py",))
    (one,) = discover(switches, "0.1", (), off={"mine": "it failed too often"})
    assert (one.off, one.error) == ("it failed too often", None)
