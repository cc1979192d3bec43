from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pluggy
import pytest
from PIL import Image, ImageOps
from stretto.api.plugin_forms import read_body
from stretto.host import (
    Failed,
    Finished,
    InvocationRequest,
    Plan,
    PluginError,
    Started,
    TilingUpscaler,
    Upscaler,
    WeightFile,
    WeightKind,
    hookimpl,
)
from stretto.host.errors import CancelledError, ConfigurationError, NotFoundError, UnsupportedError
from stretto.host.hookspecs import PROJECT, HostSpecs
from stretto.host.isolation.proxies import IsolatedPlugin
from stretto.host.plugboard.parameters import plain_values
from stretto.host.plugboard.tables import read_table

from .conftest import Rough, Wheel, isolation
from .test_values import PLAN

PICTURE = Image.effect_noise((33, 7), 80).convert("RGB")


def _spec(plugin: IsolatedPlugin, hook: str, name: str) -> Any:
    return next(spec for spec in getattr(plugin, hook)() if spec.name == name)


# -- offers ---------------------------------------------------------------------------------------


def test_specs_say_what_they_said_there(rough: Rough) -> None:
    plugin = rough()
    tiles = _spec(plugin, "register_upscalers", "tiles")
    assert (tiles.title, tiles.aliases, tiles.files, tiles.open) == ("Piece by piece", ("mosaic",), (), None)
    weighing = _spec(plugin, "register_preprocessors", "weighing")
    assert weighing.files == {"a.bin": "https://example.org/a.bin", "b.bin": ""}
    assert plugin.remote.pid is None  # nobody asked it


def test_what_it_declares_is_there(rough: Rough) -> None:
    plugin: Any = rough()
    assert plugin.REQUIRES_STRETTO_API == ">=1.0,<2"
    assert [one.name for one in fields(plugin.Settings)] == ["darkness", "diary", "words", "mode", "lingers"]
    assert plugin.Parameters().style == "plain"


def test_nested_parameters_are_checked_here_by_its_own_rules_and_reach_it(rough: Rough) -> None:
    plugin: Any = rough()
    _, faults = read_body(plugin.Parameters, {"inner": {"depth": 0}, "inners": [{"depth": 1, "tip": 2}]})
    assert [fault.field for fault in faults] == ["inner.depth", "inners[0].tip"]
    assert plugin.remote.pid is None
    with pytest.raises(
        ConfigurationError, match=r"^plugins\.rough inner cannot be so: depth 12 is above top 9$"
    ):
        read_table({"inner": {"depth": 12}}, plugin.Parameters, "plugins.rough")
    values = plain_values(
        read_table({"inner": {"depth": 4}, "inners": [{}, {"top": 2}]}, plugin.Parameters, "plugins.rough")
    )
    assert values["inners"] == [{"depth": 1, "top": 9}, {"depth": 1, "top": 2}]
    planned = _planned(plugin, InvocationRequest(plugins={"rough": values}), PLAN)
    assert planned.notes[-1] == "4, ['Inner', 'Inner']"


def test_its_table_reaches_it(rough: Rough) -> None:
    upscaler = _spec(rough(darkness=0.2), "register_upscalers", "darkness").build("cpu")
    assert upscaler.upscale(PICTURE, 1).getpixel((0, 0)) == (51, 51, 51)


def test_pieces_come_one_by_one(rough: Rough) -> None:
    upscaler = _spec(rough(), "register_upscalers", "tiles").build("cpu")
    assert isinstance(upscaler, TilingUpscaler)
    whole = Image.new("RGB", (66, 14))
    places = []
    for piece, at in upscaler.pieces(PICTURE, 2):
        whole.paste(piece, at)
        places.append(at)
    assert places == [(0, 0), (16, 0), (32, 0), (48, 0), (64, 0)]
    assert whole == PICTURE.resize((66, 14), Image.Resampling.NEAREST)


def test_pictures_of_two_jobs_are_kept_apart(rough: Rough) -> None:
    plugin = rough()
    upscaler = _spec(plugin, "register_upscalers", "tiles").build("cpu")
    red, blue = Image.new("RGB", (16, 8), "red"), Image.new("RGB", (16, 8), "blue")
    first, second = upscaler.pieces(red, 1), upscaler.pieces(blue, 1)
    seen = [[], []]
    for _ in range(2):
        for into, pieces in zip(seen, (first, second), strict=True):
            piece, at = next(pieces)
            into.append((piece.getpixel((0, 0)), at))
    assert seen == [
        [((255, 0, 0), (0, 0)), ((255, 0, 0), (8, 0))],
        [((0, 0, 255), (0, 0)), ((0, 0, 255), (8, 0))],
    ]
    assert next(first, None) is next(second, None) is None
    for _ in range(20):  # jobs that were stopped
        next(upscaler.pieces(red, 1))
    assert len(list(upscaler.pieces(red, 1))) == 2


def test_pieces_need_not_all_be_taken(rough: Rough) -> None:
    upscaler = _spec(rough(), "register_upscalers", "tiles").build("cpu")
    first = next(iter(upscaler.pieces(PICTURE, 2)))
    again = next(iter(upscaler.pieces(PICTURE, 2)))
    assert first == again
    assert upscaler.upscale(PICTURE, 1) == PICTURE


def test_one_without_pieces_is_no_tiling_upscaler(rough: Rough) -> None:
    upscaler = _spec(rough(), "register_upscalers", "same").build("cpu")
    assert isinstance(upscaler, Upscaler)
    assert not isinstance(upscaler, TilingUpscaler)


def test_control_images_and_backgrounds(rough: Rough) -> None:
    plugin = rough()
    inverting = _spec(plugin, "register_preprocessors", "inverting").open((), "cpu")
    assert inverting.processed(PICTURE) == ImageOps.invert(PICTURE)
    cutting = _spec(plugin, "register_background_removers", "cutting").build("cpu")
    cut = cutting.remove(PICTURE)
    assert cut.convert("RGB") == PICTURE
    assert cut.getchannel("A").getextrema() == (7, 7)


def test_weights_reach_it_as_files(rough: Rough, tmp_path: Path) -> None:
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]
    for path in paths:
        path.write_bytes(b"x" * 33)
    files = tuple(WeightFile(path=str(path), kind=WeightKind.PREPROCESSOR) for path in paths)
    weighing = _spec(rough(), "register_preprocessors", "weighing").open(files, "cpu")
    assert weighing.processed(PICTURE).getpixel((0, 0)) == (33, 2, 0)


def test_what_is_missing_is_asked_for_again(rough: Rough, tmp_path: Path) -> None:
    spec = _spec(rough(), "register_upscalers", "absent")
    assert spec.missing() == f"{tmp_path / 'diary.absent'} is not there"
    (tmp_path / "diary.absent").touch()
    assert spec.missing() is None


# -- hooks ----------------------------------------------------------------------------------------


class Core:
    """The host's own build_plan."""

    def __init__(self, plan: Plan | None) -> None:
        self.plan = plan

    @hookimpl(trylast=True)
    def build_plan(self) -> Plan | None:
        """Give it."""
        if self.plan is None:
            raise NotFoundError("there is no such model")
        return self.plan


def _planned(plugin: object, request: InvocationRequest, plan: Plan | None) -> Any:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HostSpecs)
    manager.register(Core(plan))
    manager.register(plugin)
    return manager.hook.build_plan(request=request, host=None)


def test_a_wrapper_changes_a_plan(rough: Rough) -> None:
    plugin = rough()
    request = InvocationRequest(prompt="x", plugins={"rough": {"style": "bold"}})
    made = _planned(plugin, request, PLAN)
    note = f"rough, in {plugin.remote.pid}"
    assert made == replace(PLAN, prompt="a circle, bold").with_note(note)


def test_what_the_inner_hooks_raise_goes_through(rough: Rough) -> None:
    with pytest.raises(NotFoundError, match=r"^there is no such model$"):
        _planned(rough(), InvocationRequest(), None)


def test_wrong_parameters_are_refused_in_its_words(rough: Rough) -> None:
    request = InvocationRequest(plugins={"rough": {"stile": "bold"}})
    with pytest.raises(
        ConfigurationError, match=r"^plugins\.rough has no key 'stile'; did you mean 'style'\?$"
    ):
        _planned(rough(), request, PLAN)


def test_what_stays_outside_is_said(rough: Rough) -> None:
    request = InvocationRequest(plugins={"rough": {"style": "lost"}})
    with pytest.raises(
        UnsupportedError, match=r"'rough' runs in a process of its own, where host\.resolve_model is"
    ):
        _planned(rough(), request, PLAN)


def test_a_plan_that_json_has_not_is_the_plugins_error_and_ends_nothing(rough: Rough) -> None:
    plugin = rough()
    request = InvocationRequest(plugins={"rough": {"style": "odd"}})
    with pytest.raises(
        PluginError,
        match=r"^the plugin 'rough' raised in build_plan: TypeError: complex cannot cross to or from a plugin's process;",
    ):
        _planned(plugin, request, PLAN)
    pid = plugin.remote.pid
    assert pid is not None
    assert _planned(plugin, InvocationRequest(prompt="x"), PLAN) is not None
    assert plugin.remote.pid == pid


PLANNER = """
from dataclasses import replace

from stretto.host import hookimpl


@hookimpl(tryfirst=True)
def build_plan(request):
    if request.prompt == "plan":
        return 5
    return None
"""


def test_one_that_plans_itself_may_pass_and_gives_plans_alone(tmp_path: Path, wheel: Wheel) -> None:
    apart = isolation(tmp_path, {"planner": {}})
    apart.install(str(wheel("planner", PLANNER)), ["--no-index"])
    (environment,) = apart.environments()
    plugin = apart.load(environment, "planner")
    assert _planned(plugin, InvocationRequest(prompt="x"), PLAN) == PLAN
    with pytest.raises(
        PluginError, match=r"^the plugin 'planner' raised in build_plan: build_plan gave int; it must"
    ):
        _planned(plugin, InvocationRequest(prompt="plan"), PLAN)
    apart.close()


def test_events_are_told_in_their_order_and_nobody_waits(rough: Rough, tmp_path: Path) -> None:
    plugin: Any = rough()
    begun = time.perf_counter()
    for number in range(1, 201):
        plugin.observe(event=Started(job="j", number=number))
    plugin.observe(event=Finished(job="j", number=201))
    assert time.perf_counter() - begun < 0.5  # it starts meanwhile
    plugin.close()
    lines = (tmp_path / "diary.txt").read_text().splitlines()
    assert lines == [*(f"Started j {n}" for n in range(1, 201)), "Finished j 201", "stopped"]


def test_what_an_observer_raises_comes_with_the_next_event(rough: Rough) -> None:
    plugin: Any = rough()
    plugin.observe(event=Failed(job="j", message="it all"))
    with pytest.raises(
        PluginError, match=r"^the plugin 'rough' raised in observe: ValueError: cannot hear of it all$"
    ):
        _until_raised(lambda: plugin.observe(event=Started(job="j")))
    plugin.observe(event=Started(job="j"))


def test_what_an_observer_raises_last_is_logged(rough: Rough, caplog: pytest.LogCaptureFixture) -> None:
    plugin: Any = rough()
    plugin.observe(event=Failed(job="j", message="it all"))
    plugin.close()
    assert (
        "observe: the plugin 'rough' raised in observe: ValueError: cannot hear of it all" in caplog.messages
    )


def test_an_event_that_cannot_be_sent_is_said_and_the_next_ones_are_told(
    rough: Rough, tmp_path: Path
) -> None:
    plugin: Any = rough()
    odd: Any = 1j  # who tells may be a plugin
    plugin.observe(event=Started(job="j", number=odd))
    with pytest.raises(
        PluginError, match=r"^the plugin 'rough' was not told of Started: TypeError: complex cannot cross"
    ):
        _until_raised(lambda: plugin.observe(event=Started(job="j", number=2)))
    plugin.observe(event=Finished(job="j", number=3))
    plugin.close()
    lines = (tmp_path / "diary.txt").read_text().splitlines()
    assert lines[-2:] == ["Finished j 3", "stopped"]


def test_who_is_closed_is_not_told_again(rough: Rough) -> None:
    plugin: Any = rough()
    plugin.observe(event=Started(job="j"))
    plugin.close()
    with pytest.raises(
        PluginError, match=r"^the plugin 'rough' is not told of Started: the host has closed it$"
    ):
        plugin.observe(event=Started(job="j"))
    assert not [thread for thread in threading.enumerate() if thread.name == "events to rough"]


DEAF = "import time\nfrom stretto.host import hookimpl\n\n\n@hookimpl\ndef observe(event):\n    time.sleep(600)\n"


def test_one_that_does_not_listen_keeps_nobody(
    tmp_path: Path, wheel: Wheel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stretto.host.isolation.telling._GRACE_S", 0.2)
    monkeypatch.setattr("stretto.host.isolation.remote._GRACE_S", 0.2)
    apart = isolation(tmp_path, {"deaf": {}})
    apart.install(str(wheel("deaf", DEAF)), ["--no-index"])
    (environment,) = apart.environments()
    plugin: Any = apart.load(environment, "deaf")

    def tell() -> None:
        for _ in range(1100):
            plugin.observe(event=Started(job="j"))

    with pytest.raises(PluginError, match=r"^the plugin 'deaf' observes too slowly: 1000 events wait"):
        tell()
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        apart.close()
    assert time.monotonic() - begun < 10
    (left,) = [message for message in caplog.messages if "was not told of" in message]
    assert re.fullmatch(r"the plugin 'deaf' was not told of (999|1000) events", left)
    assert plugin.remote.pid is None


def _until_raised(work: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        work()
        time.sleep(0.02)


# -- a job ----------------------------------------------------------------------------------------


class Bench:
    """A bench whose job is stopped."""

    def tick(self, _task: str, *, ticks: int) -> None:
        """Say so."""
        assert ticks == 0
        raise CancelledError("stopped")


class Step:
    """A step."""

    why = "enlarge"


def test_a_step_can_be_stopped_while_it_is_waited_for(rough: Rough) -> None:
    plugin: Any = rough()

    class Steps:
        """The host's own run_step, which enlarges."""

        @hookimpl(trylast=True)
        def run_step(self) -> Any:
            """Do it."""
            return _spec(plugin, "register_upscalers", "hangs").build("cpu").upscale(PICTURE, 1)

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HostSpecs)
    manager.register(Steps())
    manager.register(plugin)
    begun = time.monotonic()
    with pytest.raises(CancelledError, match=r"^stopped$"):
        manager.hook.run_step(step=Step(), frame=None, bench=Bench())
    assert time.monotonic() - begun < 5
