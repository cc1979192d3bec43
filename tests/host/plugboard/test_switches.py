import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest
from stretto.host.errors import ConfigurationError
from stretto.host.plugboard.switches import Switches, read_switches


@dataclass(frozen=True)
class Settings:
    tile: int = 512


def write(folder: Path, text: str) -> Path:
    file = folder / "plugins.toml"
    file.write_text(text)
    return file


def test_reads_every_key(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        '[host]\nautoload = false\ndisable = ["a"]\norder = ["b", "c"]\nrequire = ["c"]\npaths = ["mine.py"]\n'
        "[plugins.mine]\ntile = 64\n",
    )
    switches = read_switches(file)
    assert switches == Switches(
        autoload=False,
        disable=("a",),
        order=("b", "c"),
        require=("c",),
        paths=(tmp_path.resolve() / "mine.py",),
        tables={"mine": {"tile": 64}},
        file=file,
    )
    assert switches.plugin_settings("mine", Settings) == Settings(tile=64)
    assert switches.plugin_settings("other", Settings) == Settings()
    assert pickle.loads(pickle.dumps(switches)) == switches  # noqa: S301 - it crosses to the worker so


def test_no_file_means_all_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_switches() == Switches()


def test_the_working_folders_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, '[host]\norder = ["x"]\n')
    monkeypatch.chdir(tmp_path)
    assert read_switches().order == ("x",)


def test_the_environment_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRETTO_PLUGINS", str(write(tmp_path, '[host]\norder = ["x"]\n')))
    assert read_switches().order == ("x",)


def test_the_data_directorys_file_is_the_last_that_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, data = tmp_path / "working", tmp_path / "data"
    working.mkdir()
    data.mkdir()
    monkeypatch.chdir(working)
    none = read_switches(data_dir=data)
    assert (none, none.file, none.target, none.said) == (Switches(), None, data / "plugins.toml", None)
    kept = write(data, '[host]\norder = ["kept"]\n')
    found = read_switches(data_dir=data)
    assert (found.order, found.file, found.target, found.said) == (("kept",), kept, kept, ("order",))
    own = write(working, '[host]\norder = ["own"]\n')
    assert read_switches(data_dir=data).target == own
    monkeypatch.setenv("STRETTO_PLUGINS", str(kept))
    assert read_switches(data_dir=data).order == ("kept",)


def test_an_explicit_path_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRETTO_PLUGINS", str(tmp_path / "absent.toml"))
    assert read_switches(write(tmp_path, "")).order == ()


def test_a_named_file_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = tmp_path / "absent.toml"
    expected = f"there is no plugins file {absent}; write one, or leave it out to use all plugins"
    with pytest.raises(ConfigurationError) as caught:
        read_switches(absent)
    assert str(caught.value) == expected
    monkeypatch.setenv("STRETTO_PLUGINS", str(absent))
    with pytest.raises(ConfigurationError, match="there is no plugins file"):
        read_switches()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hosts]\n", "{file}: unknown table [hosts]; did you mean 'host'?"),
        ("autoload = true\n", "{file}: unknown table [autoload]; known: host, plugins"),
        ("[host]\nautolod = true\n", "{file}: [host] has no key 'autolod'; did you mean 'autoload'?"),
        ("[host]\nautoload = 1\n", "{file}: [host] autoload must be true or false, not 1"),
        ('[host]\ndisable = "x"\n', "{file}: [host] disable must be a list, not 'x'"),
        ("host = 3\n", "{file}: 'host' must be a table, not 3"),
        ("[plugins]\nmine = 3\n", "{file}: plugins: 'mine' must be a table, not 3"),
    ],
)
def test_says_what_is_unknown(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        read_switches(file)
    assert str(caught.value) == message.format(file=file)


def test_broken_toml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is not valid TOML: .*line 1"):
        read_switches(write(tmp_path, "[host\n"))


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_switches(file)


def test_a_plugins_settings_name_the_nearest_key(tmp_path: Path) -> None:
    file = write(tmp_path, "[plugins.mine]\ntyle = 64\n")
    with pytest.raises(ConfigurationError) as caught:
        read_switches(file).plugin_settings("mine", Settings)
    assert str(caught.value) == f"{file}: [plugins.mine] has no key 'tyle'; did you mean 'tile'?"
