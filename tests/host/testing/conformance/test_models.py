from __future__ import annotations

from dataclasses import replace

import pytest
from stretto.host import Family, LoaderSpec, ModelOffer, VaeSpec, WeightKind
from stretto.host.testing import assert_conforms

URL = "https://example.org/vae.safetensors"


@pytest.fixture
def offer(supplies):
    return ModelOffer(name="mine", path=str(supplies.tiny(Family.SD1)), family=Family.SD1, size_px=64)


def test_a_tiny_model_conforms(offer, supplies):
    assert not assert_conforms(offer, supplies=supplies).skipped


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"family": Family.SDXL}, "its folder holds the family that it says", "`family` is sdxl, and"),
        ({"path": "/no/such/folder"}, "its folder holds the family that it says", "is no folder"),
        ({"size_px": 60}, "its folder holds the family that it says", "a multiple of 8"),
        ({"defaults": {"widht": 64}}, "its defaults are parameters", "did you mean 'width'?"),
        ({"controlnets": {"canny": "/no/such/net"}}, "its ControlNets are there", "is not there; ship it"),
    ],
)
def test_a_models_broken_promise_is_said(changes, check, words, offer, breaches):
    assert words in breaches(replace(offer, **changes))[check]


def test_a_vae_decodes_for_its_families(supplies, breaches):
    spec = VaeSpec(name="mine", files=("vae",), families=(Family.SD1,), source=URL)
    assert not assert_conforms(
        spec, files={"vae": supplies.tiny(Family.SD1) / "vae"}, supplies=supplies
    ).skipped
    assert "`families` are ()" in breaches(replace(spec, families=()))["its files and families are named"]
    assert "give the URL of vae" in breaches(replace(spec, source=""))["its files and families are named"]


class Loader:
    """Loads as the built-in one does, but for what a test says."""

    def __init__(self, supplies) -> None:
        self.inner = supplies.host.offer("loaders", "diffusers").build()

    def accepts(self, file):
        return file.kind is WeightKind.DIFFUSERS and self.inner.accepts(file)

    def load(self, spec, precision, device):
        return self.changed(self.inner.load(spec, precision, device))

    def changed(self, model):
        return model


class Training(Loader):
    def changed(self, model):
        model.unet.train()
        return model


class Drawn(Loader):
    def changed(self, model):
        model.unet.conv_out.bias.data.normal_()
        return model


class Wide(Loader):
    def changed(self, model):
        model.unet.float()
        return model


class Wordless(Loader):
    def changed(self, model):
        return replace(model, tokenizers=())


class Careless(Loader):
    def load(self, spec, precision, device):
        try:
            return super().load(spec, precision, device)
        except Exception as error:
            raise OSError(str(error)) from error


LOADS = "it loads a diffusers of sd1 on the CPU"


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Training, LOADS, "is in training mode; call eval()"),
        (Drawn, LOADS, "must not be random"),
        (Wide, "it loads a diffusers of sd1 in bfloat16", "the UNet is torch.float32"),
        (Wordless, LOADS, "give one of each for every text encoder"),
        (Careless, "errors are ours: a diffusers of sd1", "it raises OSError"),
    ],
)
def test_a_loaders_broken_promise_is_said(kind, check, words, supplies, breaches):
    assert words in breaches(LoaderSpec(name="mine", build=lambda: kind(supplies)))[check]
