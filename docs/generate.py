"""Writes the reference pages that follow from the code: commands, hooks, settings, errors, HTTP.

`python docs/generate.py` writes them; a test compares them with what stands in the repository.
"""  # noqa: INP001 - a script beside the pages, not a package

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import click
import stretto.host.errors as errors_module
from api_page import api_parts
from engine_faults import fault_parts
from hook_pages import hook_index, hook_pages
from http_page import http_parts
from metrics_page import metrics_parts
from openapi_pages import openapi_document, problem_parts
from parameters_page import parameter_parts
from plugin_api_page import plugin_api_parts
from plugin_settings_page import plugins_toml
from stretto.api.cli.main import cli
from stretto.host.settings import Settings
from value_words import default_words, table, value_words

__all__ = ["pages", "write"]

REFERENCE = Path(__file__).parent / "reference"
WRITTEN = "<!-- Written by docs/generate.py; change the code it reads, then run `make docs`. -->"
HELP_WIDTH = 96  # characters

# What each setting does; a setting without a line here fails the generator.
SETTINGS = {
    "safe": "Run a model's own safety checker, where the model has one.",
    "auth": "Ask callers for a token; off, every caller is the user `noauth`.",
    "max_queued_invocations": "How many jobs may wait; one more is answered with 429.",
    "max_queued_downloads": "How many downloads may wait.",
    "max_concurrent_downloads": "How many downloads run at once.",
    "switch_mode": "What happens to a model when another is needed: `offload` moves it to main memory, "
    "`unload` forgets it, null keeps both on the device.",
    "cache_mode": "Which checkpoints are kept in diffusers' layout once loaded: all, SDXL only, or none.",
    "precision": "What the networks compute in; null takes the best that the device has.",
    "model": "The model of a request that names none.",
    "acceleration": "The compiler of a request that names none: `tensorrt`, `tensorrt_rtx`, `onnxruntime`, `torch_compile`; null draws with torch.",
    "build_missing": "Have the server build engines that a job asked for by `acceleration` and did not find, one after the other in a process of their own, while torch draws.",
    "idle_timeout_s": "After how many idle seconds the worker process ends and frees the device.",
    "silence_timeout_s": "After how many seconds without a sign of life a job is given up.",
    "pool_budget_bytes": "How much memory loaded models may take together; null takes most of the device's.",
    "memory_limit_bytes": "How much memory the worker may take in all; a job that needs more is drawn in smaller parts. null is what "
    "the device or the machine has.",
    "max_body_bytes": "The largest request body that is read; a larger one is answered with 413.",
    "max_image_pixels": "The largest input image, in pixels.",
    "max_event_streams": "How many streams of events may be open; one more is answered with 503.",
    "max_wait_s": "How many seconds `POST /api/invoke` waits at most with `synchronous`.",
    "allow_private_downloads": "Let downloads read from this machine and from private networks.",
    "civitai_url": "Where CivitAI's API is asked, without `/api/v1`.",
}


def pages() -> dict[str, str]:
    """Give each generated page's text by its file name under docs/reference."""
    document = openapi_document()
    return {
        "cli.md": _cli(),
        "hooks.md": _hooks(),
        "settings.md": _settings(),
        "errors.md": _errors(),
        "http.md": _page("The JSON API", *http_parts()),
        "parameters.md": _page("Parameters", *parameter_parts()),
        "problems.md": _page("Problem types", *problem_parts()),
        "engine-faults.md": _page("What can happen to a compiled engine", *fault_parts()),
        "metrics.md": _page("Metrics", *metrics_parts()),
        "api.md": _page("Every call", *api_parts(document)),
        "plugins-toml.md": plugins_toml(),
        "plugin-api.md": _page("The plugin API", *plugin_api_parts()),
        **{f"hooks/{name}.md": _page(name, *parts) for name, parts in hook_pages().items()},
        "openapi.json": json.dumps(document, indent=1, ensure_ascii=False) + "\n",
    }


def write() -> None:
    """Write every page."""
    for name, text in pages().items():
        (REFERENCE / name).parent.mkdir(exist_ok=True)
        (REFERENCE / name).write_text(text, encoding="utf-8")


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", WRITTEN, *(part.strip("\n") for part in parts)]) + "\n"


def _cli() -> str:
    intro = (
        "The command `stretto`. Exit status: 0 done, 1 failed (the reason is on stderr), "
        "2 usage (an unknown option, parameter or value), 130 stopped by Ctrl-C."
    )
    parts = [f"## {path}\n\n```text\n{text}\n```" for path, text in _helps(cli, "stretto", None)]
    return _page("Commands", intro, *parts)


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command, info_name=path.rsplit(" ", 1)[-1], parent=parent, terminal_width=HELP_WIDTH,
        max_content_width=HELP_WIDTH, help_option_names=["-h", "--help"],
    )  # fmt: skip
    yield path, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _helps(child, f"{path} {name}", context)


def _hooks() -> str:
    intro = (
        "What a plugin may implement, in the order in which the host calls it. Mark a function with\n"
        "`@stretto.host.hookimpl`; it may take fewer arguments than are listed here. "
        "[Write a plugin](../howto/write-a-plugin.md) shows how;\n"
        "[the plugin API](plugin-api.md) has everything else that is public."
    )
    return _page("Hooks", intro, *hook_index())


def _settings() -> str:
    intro = (
        "What an administrator may change while the server runs, with the values it takes and the default."
    )
    hints = get_type_hints(Settings, include_extras=True)
    rows = [
        (
            f"`{field.name}`",
            value_words(hints[field.name]),
            f"`{default_words(field.default)}`",
            SETTINGS[field.name],
        )
        for field in dataclasses.fields(Settings)
    ]
    return _page("Settings", intro, table(("setting", "values", "default", "what it does"), rows))


def _errors() -> str:
    tree = inspect.cleandoc(errors_module.__doc__ or "")
    intro = (
        "One tree. `title` and `status` are what the JSON API answers with; the message says what, which value, "
        "and what would do.\nThe command exits with 2 for a `BadRequestError` and what hangs under it, with 1 for the rest."
    )
    rows = [
        (f"`{kind.title}`", str(kind.status), f"`{kind.__name__}`", " ".join((kind.__doc__ or "").split()))
        for kind in _error_classes()
    ]
    return _page(
        "Errors",
        intro,
        table(("title", "status", "class", "when"), rows),
        f"```text\n{tree.split(chr(10), 2)[2]}\n```",
    )


def _error_classes() -> list[Any]:
    return [
        value
        for value in vars(errors_module).values()
        if inspect.isclass(value) and issubclass(value, errors_module.StrettoError)
    ]


if __name__ == "__main__":
    write()
