"""`gfpgan`, held to the kit over small networks of its own architectures."""

from __future__ import annotations

from stretto.host.testing import assert_conforms


def test_it_conforms(spec, shelf):
    names = (spec.files[0], *spec.beside)
    beside = {"parsing_parsenet.pth": shelf / "parsing_parsenet.safetensors"}
    report = assert_conforms(spec, files={name: beside.get(name, shelf / name) for name in names})
    assert not report.skipped
