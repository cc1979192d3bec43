import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stretto.host.errors import PluginClashError
from stretto.host.plugboard.board import Board
from stretto.host.plugboard.settling import settling
from stretto.host.plugboard.switches import Switches, read_switches

OFFER = """
from stretto.host import SchedulerSpec, hookimpl
@hookimpl
def register_schedulers(host):
    return [SchedulerSpec(name="same", build=lambda config: config)]
"""
PATHS = 'paths = ["ann.py", "bob.py", "old.py"]\n'


def opened(file: Path) -> Board:
    switches = read_switches(file)
    view: Any = SimpleNamespace(version="1", plugin_settings=switches.plugin_settings)
    return Board.open(switches, view, built_ins=())


def on(file: Path) -> list[str]:
    board = opened(file)
    names = [row.name for row in board.rows() if row.status == "on"]
    board.close()
    return names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for name in ("ann", "bob", "old"):
        (tmp_path / f"{name}.py").write_text(OFFER if name != "old" else "raise ValueError\n")
    return tmp_path / "plugins.toml"


@pytest.mark.parametrize(
    ("text", "stands", "lines"),
    [
        (
            f'[host] # mine\nautoload = false\ndisable = ["old"]\n{PATHS}',
            'disable = ["old"]\n',
            ['disable = ["old", "ann"]', 'disable = ["old", "bob"]'],
        ),
        (f"[host]\nautoload = false\n{PATHS}", "", ['disable = ["ann"]', 'disable = ["bob"]']),
    ],
)
def test_each_line_that_is_shown_settles_it_when_pasted(
    file: Path, text: str, stands: str, lines: list[str]
) -> None:
    file.write_text(text)
    with pytest.raises(PluginClashError) as caught:
        opened(file)
    said = str(caught.value)
    shown = re.findall(r"^  (.*)$", said, re.MULTILINE)
    assert shown == lines
    assert (f"stand for {stands.strip()}:" in said) is bool(stands)
    for line, left in zip(shown, ("bob", "ann"), strict=True):
        file.write_text(text.replace(stands, "") + f"{line}\n")
        assert on(file) == [left]


def test_without_the_table_it_is_shown_too(tmp_path: Path) -> None:
    target = tmp_path / "plugins.toml"
    assert settling(Switches(target=target), "ann", "bob") == (
        f'; turn one of them off: write one of these into {target}:\n\n  [host]\n  disable = ["ann"]\n\nor\n\n'
        '  [host]\n  disable = ["bob"]\n\n(`stretto plugins disable ann` or `stretto plugins disable bob` does the same)'
    )


def test_what_is_required_is_not_to_be_disabled(file: Path) -> None:
    text = f'[host]\nautoload = false\nrequire = ["ann"]\n{PATHS}'
    file.write_text(text)
    with pytest.raises(PluginClashError) as caught:
        opened(file)
    said = str(caught.value)
    assert (
        f"in {file}, this ('ann' is required there) is to stand under [host]:\n\n  disable = [\"bob\"]\n\n"
        in said
    )
    file.write_text(text + 'disable = ["bob"]\n')
    assert on(file) == ["ann"]
    both = settling(Switches(require=("ann", "bob"), file=file, said=("require",)), "ann", "bob")
    assert both == (
        f'; turn one of them off: {file} requires both (require = ["ann", "bob"]); take one of them out of `require`, '
        "and then disable it"
    )
