from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from PIL import Image, ImageDraw
from stretto.host import BackgroundRemover, WeightFile, WeightKind
from stretto.host.errors import ConfigurationError, WeightsError
from stretto.host.plugboard.switches import Switches
from stretto.host.testing.networks import make_tiny_remover
from stretto.plugins.backgrounds import NETWORKS, Network, Settings, register_background_removers


def specs(**settings):
    view = SimpleNamespace(plugin_settings=lambda _name, into: into(**settings))
    return {spec.name: spec for spec in register_background_removers(view)}


def opened(path, name="u2net"):
    return specs()[name].open(WeightFile(path=str(path), kind=WeightKind.BACKGROUND), "cpu")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return make_tiny_remover(tmp_path_factory.mktemp("bg") / "any name.onnx")


@pytest.fixture
def picture():
    image = Image.new("RGB", (200, 150), "white")
    ImageDraw.Draw(image).ellipse((50, 30, 150, 120), fill=(40, 20, 10))
    return image


def test_the_stand_in_is_small(network):
    assert network.stat().st_size == 175


def test_the_subject_stays_with_its_colours_and_the_rest_is_transparent(network, picture):
    remover = opened(network)
    assert isinstance(remover, BackgroundRemover)
    cut = remover.remove(picture)
    assert (cut.mode, cut.size) == ("RGBA", picture.size)
    assert cut.convert("RGB").tobytes() == picture.tobytes()
    assert cut.getpixel((100, 75))[3] > 250
    assert cut.getpixel((5, 5))[3] == 0


def test_it_agrees_with_rembg(network, picture, monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    import rembg

    cut = opened(network).remove(picture)
    mask = rembg.remove(picture, session=opened(network).session, only_mask=True)
    assert cut.getchannel("A").tobytes() == mask.tobytes()


def test_what_was_transparent_stays_so(network, picture):
    clear = picture.convert("RGBA")
    clear.putalpha(Image.new("L", picture.size, 100))
    alpha = np.asarray(opened(network).remove(clear).getchannel("A"))
    assert alpha.max() <= 100


def test_a_picture_without_anything_is_transparent(network):
    cut = opened(network).remove(Image.new("RGB", (30, 30), "red"))
    assert cut.getchannel("A").getextrema() == (0, 0)


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x08\x08\x12\x00garbage"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "u2net.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"u2net\.onnx cannot be opened: .*; download it again"):
        opened(path)


def test_one_network_can_be_chosen():
    assert list(specs()) == list(NETWORKS)
    assert list(specs(network="silueta")) == ["silueta"]
    wrong = Switches(tables={"backgrounds": {"network": "u2nett"}})
    with pytest.raises(ConfigurationError, match="network cannot be 'u2nett'; did you mean 'u2net'"):
        wrong.plugin_settings("backgrounds", Settings)
    assert set(get_args(Network)) == set(NETWORKS)


def test_every_network_is_one_of_rembgs_by_its_published_file(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    from rembg.sessions import sessions

    assert set(NETWORKS) <= set(sessions)
    assert all(spec.source.endswith(f"/{spec.files[0]}") for spec in specs().values())


FIRST_USE = """
    import sys, time
    from types import SimpleNamespace
    from PIL import Image
    from stretto.host import WeightFile, WeightKind
    from stretto.plugins.backgrounds import register_background_removers
    view = SimpleNamespace(plugin_settings=lambda _name, into: into())
    (spec,) = [spec for spec in register_background_removers(view) if spec.name == "u2net"]
    assert "onnxruntime" not in sys.modules and "rembg" not in sys.modules
    spec.open(WeightFile(path=sys.argv[1], kind=WeightKind.BACKGROUND), "cpu").remove(Image.new("RGB", (64, 64)))
    print(time.process_time())
"""


def test_first_use_takes_seconds_and_asks_no_network(network, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIRST_USE), str(network)],
        capture_output=True,
        text=True,
        check=True,
        # nothing compiled before, no home with models, and a proxy that is not there
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
            "REMBG_HOME": str(tmp_path / "home"),
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert float(done.stdout) < 12
