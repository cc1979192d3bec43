"""A page a hook: its signature, what it is for, an example that runs, and who of us uses it."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from plugin_api import hook_functions
from stretto.host.hookspecs import PROJECT

__all__ = ["DRAWN", "EXAMPLES", "SOURCES", "Example", "hook_index", "hook_pages", "shipped"]

ROOT = Path(__file__).parents[1]
SOURCES = Path(__file__).parent / "hook_examples"
SHIPPED = ("plugins", "examples")
# The example of each hook, and commands that show it at work; it stands beside a plugins.toml that names it.
Example = tuple[str, str]
STARTER = "python -c 'import stretto.plugins.starter as starter; print(starter.__path__[0])'"
DRAW = "--out . --set num_inference_steps=4 --set width=64 --set height=64"
EXAMPLES: Mapping[str, Example] = {
    "register_models": (
        "house",
        (
            f'cp -r "$({STARTER})/model" model\n'
            'stretto invoke "a red circle" --set model=house --dry-run | grep \'"num_inference_steps": 12\''
        ),
    ),
    "register_schedulers": (
        "karras",
        f'stretto invoke "a red circle" --set scheduler=edsk {DRAW}',
    ),
    "register_vaes": (
        "film",
        '(stretto invoke "a red circle" --set vae=film || true) 2>&1 | grep film.safetensors  # says where it goes',
    ),
    "register_loaders": (
        "pipelines",
        (
            "mkdir -p data/models/diffusers\n"
            f'cp -r "$({STARTER})/model" data/models/diffusers/mine-pipeline\n'
            "stretto models list --data-dir data | grep mine-pipeline"
        ),
    ),
    "register_patchers": (
        "offsets",
        "stretto plugins list | grep offsets",
    ),
    "register_controlnets": (
        "blueprint",
        "stretto plugins list | grep blueprint",
    ),
    "register_preprocessors": (
        "threshold",
        "stretto plugins list | grep threshold",
    ),
    "register_upscalers": (
        "scanlines",
        f'stretto invoke "a red circle" --set upscale=scanlines --set outscale=2 {DRAW}',
    ),
    "register_background_removers": (
        "corners",
        f'stretto invoke "a red circle on a blue background" --set remove_background=true {DRAW}',
    ),
    "register_compilers": (
        "exported",
        "stretto doctor | grep exported",
    ),
    "register_routes": ("words", "curl -sf 'http://127.0.0.1:45555/api/words?prompt=a+red+circle' | grep 3"),
    "register_commands": ("offered", "stretto offered schedulers | grep dpmsm"),
    "host_started": ("greeter", "grep schedulers greeting.txt"),
    "build_plan": (
        "thrifty",
        'stretto invoke "a red circle" --set \'plugins={"thrifty": {"limit": 5}}\' --dry-run | grep \'"num_inference_steps": 5\'',
    ),
    "run_step": ("grey", f'stretto invoke "a red circle" {DRAW}'),
    "observe": ("diary", f'stretto invoke "a red circle" {DRAW}\ngrep " s" diary.txt'),
    "host_stopping": ("counter", f'stretto invoke "a red circle" {DRAW}\ngrep "1 Finished" heard.txt'),
}
DRAWN = (  # too slow a process each, for the tests of all pages; a test runs them in one
    "register_schedulers", "register_upscalers", "register_background_removers", "run_step", "observe", "host_stopping",
)  # fmt: skip
SERVED = ("register_routes", "host_started")  # shown by a server; all others by the command line


def hook_index() -> Iterator[str]:
    """Give the parts of the page that lists all hooks, with a link to the page of each."""
    for hook in hook_functions():
        said, fields = _words(hook)
        link = f"[Example, and who uses it](hooks/{hook.__name__}.md). {_kind(hook)}"
        yield "\n\n".join([f"## {hook.__name__}", _signature(hook), said, fields, link])


def hook_pages() -> dict[str, list[str]]:
    """Give the parts of each hook's page by its name; raises KeyError for a hook without an example."""
    return {hook.__name__: list(_parts(hook)) for hook in hook_functions()}


def shipped(hook: str) -> list[Path]:
    """Give our own plugins, of `plugins/` and `examples/`, that implement a hook."""
    return [
        path.relative_to(ROOT)
        for room in SHIPPED
        for path in sorted((ROOT / room).rglob("*.py"))
        if "tests" not in path.relative_to(ROOT).parts and hook in _implemented(path)
    ]


def _implemented(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any("hookimpl" in ast.unparse(mark) for mark in node.decorator_list)
    }


def _parts(hook: Callable[..., Any]) -> Iterator[str]:
    said, fields = _words(hook)
    yield _signature(hook)
    yield said
    yield fields
    yield (
        f"{_kind(hook)} An implementation is marked with `@stretto.host.hookimpl`, and may take fewer arguments.\n"
        "[All hooks](../hooks.md), [what else is public](../plugin-api.md), "
        "[write a plugin](../../howto/write-a-plugin.md)."
    )
    name, commands = EXAMPLES[hook.__name__]
    mark = " server" if hook.__name__ in SERVED else "" if hook.__name__ in DRAWN else " run"
    yield "## Example"
    yield f"```python file={name}.py\n{(SOURCES / f'{name}.py').read_text(encoding='utf-8')}```"
    yield f'```toml file=plugins.toml\n[host]\npaths = ["{name}.py"]\n```'
    if hook.__name__ in SERVED:
        yield "After `stretto serve` in the same folder:"
    yield f"```sh{mark}\n{commands}\n```"
    yield "## Who uses it"
    yield "\n".join(f"- [`{path}`](../../../{path})" for path in shipped(hook.__name__))


def _signature(hook: Callable[..., Any]) -> str:
    signature = inspect.signature(hook)
    arguments = ", ".join(
        f"{name}: {value.annotation}" for name, value in signature.parameters.items() if name != "self"
    )
    return f"```text\n{hook.__name__}({arguments}) -> {signature.return_annotation}\n```"


def _kind(hook: Callable[..., Any]) -> str:
    first = getattr(hook, f"{PROJECT}_spec")["firstresult"]
    return "First answer wins; may be wrapped." if first else "Every plugin is called."


def _words(hook: Callable[..., Any]) -> tuple[str, str]:
    """Give what a hook's docstring says, and its arguments as a list."""
    said, *fields = inspect.cleandoc(hook.__doc__ or "").split("\n:")
    return said.strip(), "\n".join("- " + _field(text) for text in fields)


def _field(text: str) -> str:
    head, words = " ".join(text.split()).split(": ", 1)
    name = head.removeprefix("param ")
    return f"`{name}`: {words}" if name != "return" else f"returns {words}"
