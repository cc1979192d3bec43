from dataclasses import replace
from pathlib import Path

import pytest
from stretto.host import InvocationRequest
from stretto.host.errors import NotFoundError
from stretto.host.plugboard.wanted import require_plugins
from stretto.host.runtime.host import Host
from stretto.host.settings import Folders, Settings


def test_a_plan_for_a_plugin_that_is_not_on_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "plugins.toml"
    file.write_text('[host]\nautoload = false\ndisable = ["vaes"]\n')
    with Host.open(Folders(tmp_path / "data"), Settings(), plugins_file=file) as host:
        plan = host.plan(InvocationRequest(prompt="a circle"))
        require_plugins(host.board, plan)
        require_plugins(host.board, replace(plan, plugins={"starter": {}}))
        for name, why in (
            ("vaes", f"off: disabled by [host] disable in {file}"),
            ("gone", "not there any more"),
        ):
            with pytest.raises(NotFoundError) as caught:
                require_plugins(host.board, replace(plan, plugins={"starter": {}, name: {"amount": 1}}))
            assert str(caught.value) == f"the plan has parameters for the plugin '{name}', which is {why}"
