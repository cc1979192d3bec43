# ruff: noqa: ARG002 - stand-ins take what protocols give them
from __future__ import annotations

import pytest
from stretto.host import CompilerSpec, Component, EngineOpenError, Precision


class Eager:
    """Writes a file and runs the network itself, but for what a test says."""

    offset = 0.0

    def version(self):
        return "eager 1.0"

    def target(self, device):
        return device

    def targets(self):
        return ("cpu",)

    def flags(self):
        return ()

    def unable(self, target, device):
        return None

    def build(self, network, profile, target, out, report):
        (out / "engine").touch()

    def open(self, engine, network, profile, device):
        if not (engine / "engine").exists():
            raise EngineOpenError(f"there is no engine in {engine}; build it anew")
        return Opened(network.module(), self.offset)


class Opened:
    def __init__(self, module, offset) -> None:
        self.module, self.offset = module, offset

    def __call__(self, inputs):
        return tuple(output + self.offset for output in self.module(*inputs.values()))

    def close(self):
        self.module = None


class Wrong(Eager):
    offset = 0.5


class Nameless(Eager):
    def version(self):
        return "eager"


class Empty(Eager):
    def build(self, network, profile, target, out, report):
        pass


class Trusting(Eager):
    def open(self, engine, network, profile, device):
        return Opened(network.module(), 0.0)


class Scribbling(Eager):
    def open(self, engine, network, profile, device):
        opened = super().open(engine, network, profile, device)

        def call(inputs):
            given = opened(inputs)
            next(iter(inputs.values())).zero_()
            return given

        call.close = opened.close
        return call


def spec_of(build, **changes):
    said = {"components": (Component.UNET,), "precisions": (Precision.FLOAT32,)}
    return CompilerSpec(name="mine", build=build, **{**said, **changes})


def test_what_keeps_its_promises_has_no_breach(breaches):
    assert breaches(spec_of(Eager)) == {}


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (Wrong, "it agrees with eager torch", "of the largest value away from torch"),
        (Nameless, "it says what its engines depend on", "give the library and its version"),
        (Empty, "it builds an engine", "`build` wrote nothing"),
        (Trusting, "errors are ours", "an empty folder in the place of an engine is taken without a word"),
        (Scribbling, "it leaves its inputs as they were", "written into its inputs sample"),
    ],
)
def test_a_broken_promise_is_said(kind, check, words, breaches):
    assert words in breaches(spec_of(kind))[check]


def test_what_is_missing_is_the_reason_of_what_is_left_out(supplies):
    from stretto.host.testing import assert_conforms

    report = assert_conforms(
        spec_of(Eager, missing=lambda: "no such library; pip install it"), supplies=supplies
    )
    assert {row.detail for row in report.skipped} == {"no such library; pip install it"}


def test_its_words_are_checked(breaches):
    found = breaches(spec_of(Eager, components=("unet3",)))
    assert "known: unet, controlled_unet" in found["its components and precisions are named"]
