from __future__ import annotations

from pathlib import Path

import pytest
from stretto.host.errors import NotFoundError, PluginError
from stretto.host.isolation.installing import put_in, take_out
from stretto.host.isolation.isolation import Isolation
from stretto.host.plugboard.switches import Switches, read_switches
from stretto.host.settings import Folders, Settings

from .conftest import Wheel

QUIET = "from stretto.host import hookimpl\n\n\n@hookimpl\ndef observe(event):\n    pass\n"


def _read(root: Path) -> tuple[Isolation, Switches]:
    switches = read_switches(root / "plugins.toml")
    return Isolation(Folders(root), Settings, switches, version="0.1.0", usable_bytes=lambda: 2**31), switches


def test_it_is_put_in_with_its_line_and_taken_out_with_it(tmp_path: Path, wheel: Wheel) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text('# mine\n[host]\ndisable = ["quiet", "vaes"]  # for now\n')
    spec = str(wheel("quiet", QUIET))

    apart, switches = _read(tmp_path)
    environment, written = put_in(apart, switches, tmp_path, spec, ["--no-index"])
    assert written == file
    assert list(environment.plugins) == ["quiet"]
    assert '# mine\n[host]\ndisable = ["vaes"]  # for now\n' in file.read_text()
    again, switches = _read(tmp_path)
    assert switches.tables == {"quiet": {"isolated": True}}
    (candidate,) = again.candidates()
    assert candidate.load() is not None
    again.close()

    take_out(again, switches, tmp_path, "quiet")
    apart, switches = _read(tmp_path)
    assert switches.tables == {}
    assert apart.candidates() == ()
    with pytest.raises(NotFoundError, match=r"^no plugin 'quiet' has an environment"):
        take_out(apart, switches, tmp_path, "quiet")


def test_what_fails_changes_nothing(tmp_path: Path, wheel: Wheel) -> None:
    (tmp_path / "plugins.toml").write_text("# mine\n")
    apart, switches = _read(tmp_path)
    with pytest.raises(PluginError, match=r"^the plugin 'quiet' raised in its start: ZeroDivisionError"):
        put_in(apart, switches, tmp_path, str(wheel("quiet", "1 / 0")), ["--no-index"])
    assert (tmp_path / "plugins.toml").read_text() == "# mine\n"
    assert apart.environments() == ()
