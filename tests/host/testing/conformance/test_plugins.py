from __future__ import annotations

import pytest
from stretto.host.errors import ConfigurationError
from stretto.host.testing import assert_plugin_conforms
from stretto.host.testing.conformance import check_plugin
from stretto.plugins import resamplers

GOOD = """
from dataclasses import dataclass

from stretto.host import SchedulerSpec, UpscalerSpec, hookimpl

REQUIRES_STRETTO_API = ">=1.0,<2"


@dataclass(frozen=True)
class Settings:
    tile: int = 512
    words: tuple[str, ...] = ("a",)


class Repeated:
    def upscale(self, image, amount):
        return image.resize((image.width * amount, image.height * amount), 0)


@hookimpl
def register_upscalers(host):
    return [UpscalerSpec(name="mine", build=lambda device: Repeated())]
"""


@pytest.fixture
def written(tmp_path):
    """Give a function that writes a plugin with some of its text replaced, and says what it broke."""

    def write(before="", after="", more=""):
        file = tmp_path / "mine.py"
        file.write_text(GOOD.replace(before, after) + more)
        report = check_plugin(file)
        return {row.check: row.detail for row in report.breaches}

    return write


def test_a_file_with_all_that_is_asked_conforms(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(GOOD)
    report = assert_plugin_conforms(file)
    assert {row.kind for row in report.rows} == {"plugin", "upscaler"}
    assert not report.skipped


def test_a_module_and_a_name_of_a_built_in_plugin_conform():
    by_name, by_module = assert_plugin_conforms("resamplers"), assert_plugin_conforms(resamplers)
    assert [row.check for row in by_name.rows] == [row.check for row in by_module.rows]
    assert sum(row.kind == "upscaler" for row in by_name.rows) == 40


@pytest.mark.parametrize(
    ("before", "after", "check", "words"),
    [
        ('REQUIRES_STRETTO_API = ">=1.0,<2"', "", "it says which API it works with",
         'write REQUIRES_STRETTO_API = ">=1.0,<2" at the top'),
        ('">=1.0,<2"', '">=7"', "a host takes it", "it is for the plugin API >=7"),
        ("frozen=True", "frozen=False", "a host takes it", "write @dataclass(frozen=True)"),
        ("tile: int = 512", "tile: int", "its Settings are valid", "`Settings` has no default for tile"),
        ("tile: int = 512", "tile: str = 512", "its Settings are valid", "cannot be read back"),
        ("from dataclasses", "import torch\nfrom dataclasses", "importing it pulls in no torch",
         "imports torch; import them inside `build`"),
        ("import SchedulerSpec", "import nonesuch, SchedulerSpec", "a host takes it", "nonesuch"),
        ("def register_upscalers(host)", "def register_upscales(host)", "a host takes it",
         "there is no hook 'register_upscales'; did you mean 'register_upscalers'?"),
        ("from stretto.host import Sch", "from stretto.host.runtime.host import Host\nfrom stretto.host import Sch",
         "it imports what is public alone", "stretto.host.runtime.host.Host is not public"),
        ('name="mine"', 'name="lanczos"', "a host takes it", "lanczos"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_said(before, after, check, words, written):
    found = written(before, after)
    assert words in found[check]


def test_a_step_that_draws_at_random_is_said(written):
    more = """

@hookimpl(wrapper=True)
def run_step(step, frame, bench):
    import random
    from dataclasses import replace
    from PIL import Image

    done = yield
    noise = Image.effect_noise(done.images[0].size, 1 + 99 * random.random()) if done.images else None
    return replace(done, images=tuple(Image.merge("RGB", [noise] * 3) for _ in done.images))
"""
    found = written(more=more)
    assert "one seed gave two pictures" in found["a picture is drawn with its run_step"]


def test_what_is_no_plugin_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="is no file, no project's folder"):
        check_plugin("nonesuch")
