from __future__ import annotations

import click
import pytest
from stretto.host import CommandSpec


def command(*, words="Mix colours.", option="How many."):
    @click.command(help=words)
    @click.option("--size", help=option)
    def mix(size):
        """Do nothing with `size`."""

    return mix


def group():
    made = click.Group("mine", help="Colours.")
    made.add_command(command(option=""), "mix")
    return made


class Rude(click.Command):
    def format_help(self, ctx, formatter):  # noqa: ARG002 - click's signature
        raise ValueError("no")


def greedy():
    @click.command(help="Mix.", context_settings={"ignore_unknown_options": True})
    @click.argument("rest", nargs=-1, type=click.UNPROCESSED)
    def mix(rest):
        """Do nothing."""

    return mix


ONE = command()


def spec_of(build, **changes):
    return CommandSpec(**{"name": "mine", "title": "Mix colours", "build": build, **changes})


def test_what_keeps_its_promises_has_no_breach(breaches):
    assert breaches(spec_of(command)) == {}


@pytest.mark.parametrize(
    ("spec", "check", "words"),
    [
        (spec_of(command, title=""), "it is documented", "the command's line in `stretto --help`"),
        (spec_of(command, name="serve"), "the host takes it", "the host's own"),
        (spec_of(lambda: ONE), "build twice gives two objects", "gave one object twice"),
        (spec_of(lambda: command(words="")), "commands, options and arguments are documented",
         "`stretto mine` has no help"),
        (spec_of(group), "commands, options and arguments are documented",
         "`stretto mine mix` has an option --size without help"),
        (spec_of(lambda: Rude("mine", help="Mix.")), "--help runs", "exits with 1: no"),
        (spec_of(greedy), "errors are click's or ours",
         "leave unknown options to click"),
    ],
)  # fmt: skip
def test_a_broken_promise_is_said(spec, check, words, breaches):
    assert words in breaches(spec)[check]
