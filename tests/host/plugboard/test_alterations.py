import tomllib
from pathlib import Path
from typing import Any

import pytest
from stretto.host.errors import ConfigurationError
from stretto.host.plugboard.alterations import Alteration, altered, mentions, write_text
from stretto.host.plugboard.merging import merged
from stretto.host.plugboard.switches import Switches, parse_switches

TEXT = """# top
[plugins.a] # its table
tile = 3  # px

# about the host
[host]
# who is out
disable = [
    "x",  # slow
    "y",
]
order=["q"] # first
"""


def after(folder: Path, text: str | None, **alteration: Any) -> str:
    file = folder / "plugins.toml"
    if text is None:
        return altered(Switches(target=file), Alteration(**alteration))[0]
    file.write_bytes(text.encode())
    made, switches = altered(parse_switches(text, file), Alteration(**alteration))
    assert file.read_bytes() == text.encode()  # nothing is written yet
    assert parse_switches(made, file) == switches
    return made


@pytest.mark.parametrize(
    ("alteration", "old", "new"),
    [
        ({"enable": ["x"]}, '    "x",  # slow\n', ""),
        ({"enable": ["z"]}, "", ""),
        ({"disable": ["z", "x"]}, '    "y",\n', '    "y",\n    "z",\n'),
        ({"order": ["y", "x"]}, '["q"]', '["y", "x"]'),
        ({"settings": {"a": {"tile": 4}}}, "tile = 3", "tile = 4"),
        ({"settings": {"a": {"word": "k"}}}, "# px\n", '# px\nword = "k"\n'),
        ({"settings": {"a": {"tile": None}}}, "tile = 3  # px\n", ""),
        ({"settings": {"b": {"isolated": True}}}, "# first\n", "# first\n\n[plugins.b]\nisolated = true\n"),
        ({"settings": {"b": {"gone": None}}}, "", ""),
        ({"forget": ["a"]}, "[plugins.a] # its table\ntile = 3  # px\n", ""),
        ({"forget": ["q"]}, '["q"]', "[]"),
    ],
)
def test_only_what_is_altered_is_another(tmp_path: Path, alteration: Any, old: str, new: str) -> None:
    assert after(tmp_path, TEXT, **alteration) == TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "alteration", "made"),
    [
        (None, {"disable": ["z"]}, '[host]\ndisable = ["z"]\n'),
        (None, {"order": []}, "[host]\norder = []\n"),
        (None, {"settings": {"a": {"n": [1, 2], "s": 'q"'}}}, '[plugins.a]\nn = [1, 2]\ns = "q\\""\n'),
        (
            "# c\n\n[plugins.a]\nt=1\n",
            {"disable": ["z"]},
            '# c\n\n[host]\ndisable = ["z"]\n\n[plugins.a]\nt=1\n',
        ),
        (
            "# top\n\n# about a\n[plugins.a]\nt=1\n",
            {"disable": ["z"]},
            '# top\n\n[host]\ndisable = ["z"]\n\n# about a\n[plugins.a]\nt=1\n',
        ),
        (
            "[host]\n\n# about a\n[plugins.a]\nt=1\n",
            {"disable": ["z"], "order": ["a"]},
            '[host]\ndisable = ["z"]\norder = ["a"]\n\n# about a\n[plugins.a]\nt=1\n',
        ),
        ("plugins={a={t=1}}\n", {"disable": ["z"]}, 'plugins={a={t=1}}\n\n[host]\ndisable = ["z"]\n'),
        (
            "plugins.a.t=[\n[1],\n]\n",
            {"disable": ["z"]},
            'plugins.a.t=[\n[1],\n]\n\n[host]\ndisable = ["z"]\n',
        ),
        ("# only said\n", {"disable": ["z"]}, '# only said\n\n[host]\ndisable = ["z"]\n'),
        ("host.disable=['x']\n", {"disable": ["y"]}, "host.disable=['x', \"y\"]\n"),
        ("host={disable=['x']}\n", {"disable": ["y"]}, "host={disable=['x', \"y\"]}\n"),
        ("[plugins]\na={t=1}\n", {"settings": {"a": {"t": 2}}}, "[plugins]\na={t=2}\n"),
        ("[host]\r\ndisable=['x']\r\n", {"disable": ["y"]}, "[host]\r\ndisable=['x', \"y\"]\r\n"),
        ("[plugins.'a b']\nt=1\n[plugins.c]\n", {"forget": ["a b"]}, "[plugins.c]\n"),
        ("[plugins.a]\nt=[\n[1],\n[2],\n]\n# end\n", {"forget": ["a"]}, "# end\n"),
    ],
)
def test_however_it_is_written(tmp_path: Path, text: str | None, alteration: Any, made: str) -> None:
    assert after(tmp_path, text, **alteration) == made


TABLES = """[plugins.a]
tile = 3  # px
net.depth = 1
# about sub
[plugins.a.sub] # its own
k = 1 # one

# about b
[plugins.b]
z = 1
"""


@pytest.mark.parametrize(
    ("values", "old", "new"),
    [
        ({"sub": {"k": 2}}, "k = 1 #", "k = 2 #"),
        ({"sub": {"k": None, "m": [1]}}, "k = 1 # one\n", "m = [1]\n"),
        ({"sub": {"d": {"e": 1, "f": None}}}, "# one\n", "# one\n\n[plugins.a.sub.d]\ne = 1\n"),
        ({"net": {"width": 2}}, "depth = 1\n", "depth = 1\nnet.width = 2\n"),
        ({"new": {"x": 1}}, "# one\n", "# one\n\n[plugins.a.new]\nx = 1\n"),
        ({"list": [{"x": 1}]}, "# one\n", "# one\n\n[[plugins.a.list]]\nx = 1\n"),
        ({"sub": None}, "[plugins.a.sub] # its own\nk = 1 # one\n", ""),
        ({"tile": {"px": 1}}, "tile = 3  # px\n", ""),  # and at the end of the table
    ],
)
def test_tables_within_a_table_are_merged_and_comments_stay(
    tmp_path: Path, values: Any, old: str, new: str
) -> None:
    made = after(tmp_path, TABLES, settings={"a": values})
    moved = "\n[plugins.a.tile]\npx = 1\n"
    assert made.replace(moved, "", 1) == TABLES.replace(old, new, 1)
    assert (moved in made) is ("tile" in values)
    assert tomllib.loads(made)["plugins"]["a"] == merged(tomllib.loads(TABLES)["plugins"]["a"], values)


def test_a_table_that_would_not_say_what_is_asked_is_left_to_its_author(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="edit it by hand"):
        after(tmp_path, "plugins.a.t = 1\nplugins.b.t = 1\n", settings={"a": {"net": {"x": 1}}})


def test_what_cannot_be_changed_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"plugins\.toml cannot be changed here .*; edit it by hand"):
        after(tmp_path, "plugins = {a = {t = 1}}\n", forget=["a"])


def test_what_would_be_wrong_is_refused_before_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text("[host]\n")
    switches = parse_switches("[host]\n", file)
    file.write_text("[host]\ndisabel = []\n")  # by somebody else, meanwhile
    with pytest.raises(ConfigurationError, match="did you mean 'disable'"):
        altered(switches, Alteration(order=["x"]))
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        altered(switches, Alteration(order=["x"]))


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    target = tmp_path / "data" / "plugins.toml"
    text, switches = altered(Switches(target=target), Alteration(disable=["x"]))
    assert write_text(switches, text) == target
    assert tomllib.loads(target.read_text()) == {"host": {"disable": ["x"]}}
    assert mentions(switches, "x")
    assert not mentions(switches, "y")


def test_comments_of_an_order_go_where_its_names_go(tmp_path: Path) -> None:
    text = '[host]\norder = [\n    # ours\n    "a",  # why a\n    "b", # why b\n    "gone" # with it\n    # the end\n] # all\nx = 1\n'
    made = after(tmp_path, text.replace("x = 1\n", ""), order=["b", "new", "a"])
    assert made == (
        '[host]\norder = [\n    "b", # why b\n    "new",\n    # ours\n    "a", # why a\n    # the end\n] # all\n'
    )
    assert "# the end" in after(tmp_path, text.replace("x = 1\n", ""), order=[])
