# ruff: noqa: ARG002 - stand-ins take what protocols give them
from __future__ import annotations

from contextlib import contextmanager, suppress

import pytest
import torch
from stretto.host import PatcherSpec, WeightKind, WeightsError

IMPORTS = "importing it pulls in no torch"  # as this file does


class Shift:
    """Shifts one bias by the patch's weight, and puts it back, but for what a test says."""

    def accepts(self, file):
        return file.kind is WeightKind.LORA

    @contextmanager
    def applied(self, model, patch, note):
        if patch.file.path.endswith("broken.safetensors"):
            raise WeightsError(f"{patch.file.path} is broken")
        bias = model.unet.conv_out.bias
        before = bias.detach().clone()
        with torch.no_grad():
            bias.add_(patch.weight)
        try:
            yield from self.within(model, bias, before, patch)
        finally:
            self.undo(bias, before, patch)

    def within(self, model, bias, before, patch):
        yield model

    def undo(self, bias, before, patch):
        with torch.no_grad():
            bias.copy_(before)


class Subtractor(Shift):
    def undo(self, bias, before, patch):
        with torch.no_grad():
            bias.sub_(patch.weight * 1.0001)


class Careless(Shift):
    def within(self, model, bias, before, patch):
        try:
            yield model
        except Exception:
            before.add_(1.0)
            raise


class Swallower(Shift):
    def within(self, model, bias, before, patch):
        with suppress(Exception):
            yield model


class Hooked(Shift):
    def within(self, model, bias, before, patch):
        model.unet.conv_in.register_forward_hook(lambda *_given: None)
        yield model


class Idle(Shift):
    @contextmanager
    def applied(self, model, patch, note):
        yield model


class Fixed(Shift):
    @contextmanager
    def applied(self, model, patch, note):
        with super().applied(model, type(patch)(kind=patch.kind, file=patch.file, weight=1.0), note) as given:
            yield given


@pytest.fixture
def fresh(supplies):
    """Make the tiny model anew after a patcher that leaves it changed."""
    yield
    supplies._loaded.clear()


def test_one_that_keeps_its_promises_has_no_breach(breaches):
    assert list(breaches(PatcherSpec(name="mine", build=Shift))) == [IMPORTS]


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Subtractor, "a lora leaves the model as it was, bit by bit", "conv_out.bias is not what it was"),
        (Careless, "a lora does so after an error, too", "conv_out.bias is not what it was"),
        (Swallower, "a lora does so after an error, too", "swallows what is raised"),
        (Hooked, "a lora leaves the model as it was, bit by bit", "hooks stay behind on 0.conv_in"),
        (Idle, "a lora changes the model, on the CPU", "is the patch applied at all?"),
        (Idle, "errors are ours: lora", "is taken without a word"),
        (Fixed, "a lora changes the model, on the CPU", "scale the change by `patch.weight`"),
    ],
)
def test_a_broken_promise_is_said(kind, check, words, breaches):
    assert words in breaches(PatcherSpec(name="mine", build=kind))[check]
