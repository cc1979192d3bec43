"""`stretto plugins new`: writes a plugin of one kind that works at once, as a project or as one file."""

from __future__ import annotations

import keyword
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from string import Template
from types import MappingProxyType

import click
from stretto.host.errors import BadRequestError, StateConflictError
from stretto.host.plugboard.reserved import OWN_COMMANDS, OWN_WORDS
from stretto.host.promise import STRETTO_API
from stretto.host.settings import Settings

from .options import Place, place_options

__all__ = ["PLUGIN_KINDS", "TEMPLATES", "Project", "new_command"]

TEMPLATES = Path(__file__).parent / "plugin_templates"
# What `--kind` is called -> the kind of its offers.
PLUGIN_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "scheduler": "schedulers",
        "upscaler": "upscalers",
        "controlnet": "controlnets",
        "preprocessor": "preprocessors",
        "vae": "vaes",
        "loader": "loaders",
        "patcher": "patchers",
        "compiler": "compilers",
        "background": "background_removers",
        "route": "routes",
        "command": "commands",
    }
)
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Template -> where it stands in the project, for every kind; a kind's own are named after it.
SHARED = {"pyproject.toml": "pyproject.toml", "py.typed": "src/$module/py.typed"}
OWN = {"py": "src/$module/__init__.py", "test.py": "tests/test_$module.py", "md": "README.md"}


@dataclass(frozen=True, slots=True)
class Project:
    """One plugin to be written: its name as a distribution and as a plugin, and its kind."""

    name: str
    kind: str

    @property
    def module(self) -> str:
        """Give the name to import."""
        return self.name.replace("-", "_")

    def files(self) -> dict[str, str]:
        """Give the text of every file of the project, by its path in it."""
        templates = {**SHARED, **{f"{self.kind}.{kind}": place for kind, place in OWN.items()}}
        return {
            self._filled(place, self.name): self._filled(_template(name), self.name)
            for name, place in templates.items()
        }

    def single_file(self) -> str:
        """Give the plugin as one file; a host calls a file's plugin as the file is called, by its module's name."""
        return self._filled(_template(f"{self.kind}.py"), self.module)

    def _filled(self, text: str, name: str) -> str:
        values = {
            "name": name,
            "offer": self.name,
            "module": self.module,
            "title": self.name.replace("-", " ").capitalize(),
            "kind": self.kind,
            "api": _range(STRETTO_API),
        }
        return Template(text).substitute(values)


@click.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(PLUGIN_KINDS)), required=True, help="What the plugin offers.")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    default=Path(),
    help="The folder in which the project is made. [default: the working folder]",
)
@click.option("--single-file", is_flag=True, help="Write the plugin alone, as one file for [host] paths.")
@place_options
def new_command(place: Place, *, name: str, kind: str, into: Path, single_file: bool) -> None:
    """Write a plugin NAME that works as it is, with its tests.

    It is a project in a folder of that name, to be installed with pip, or with --single-file one file. NAME is the name of the package, of the plugin and of what it offers: letters, digits and single hyphens.
    """
    project = Project(_checked(name), kind)
    _check_free(project, place, into)
    if single_file:
        _write_file(project, into)
    else:
        _write_project(project, into)


def _checked(name: str) -> str:
    plain = re.sub(r"[-_.]+", "-", name).lower()  # as installers do, PEP 503
    if not name.isascii() or not NAME.fullmatch(plain):
        raise BadRequestError(
            f"NAME cannot be '{name}': a package is named with letters, digits and single hyphens, and begins "
            "with a letter, such as 'crisp-edges'"
        )
    module = plain.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names:
        raise BadRequestError(f"NAME cannot be '{name}': Python itself has that word; take one of your own")
    return plain


def _check_free(project: Project, place: Place, into: Path) -> None:
    """Refuse a name that a folder, a plugin, one of its offers or an importable module has already."""
    from stretto.host.runtime.host import Host

    for taken in (into / project.name, into / f"{project.module}.py"):
        if taken.exists():
            raise StateConflictError(
                f"{taken} is there already; remove it, or give another NAME or another folder with --into"
            )
    with closing(Host.open(place.folders, Settings(), plugins_file=place.plugins_file)) as host:
        owners = {row.name: f"a plugin of this name is there ({row.origin})" for row in host.plugins()}
        offered = host.board.registry(PLUGIN_KINDS[project.kind])
        if project.name in offered:
            owners.setdefault(
                project.name,
                f"the plugin '{offered.owner(project.name)}' offers that {project.kind} already",
            )
    reserved = {"route": OWN_WORDS, "command": OWN_COMMANDS}.get(project.kind, frozenset())
    why = owners.get(project.name) or owners.get(project.module)
    if why is None and project.name in reserved:
        why = f"the host has a {project.kind} of this name"
    if why is None and (found := find_spec(project.module)) is not None:
        why = f"Python imports another module of this name, from {found.origin or found.name}"
    if why is not None:
        raise StateConflictError(f"NAME cannot be '{project.name}': {why}; take another one")


def _write_project(project: Project, into: Path) -> None:
    """Make the folder whole or not at all, and say what to do next."""
    files = project.files()
    beside = Path(tempfile.mkdtemp(prefix=f".{project.name}-", dir=into))
    try:
        for name, text in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        beside.chmod(0o777 & ~_umask())  # mkdtemp's is for its owner alone
        beside.rename(into / project.name)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    folder = into / project.name
    click.echo(f"Wrote {folder}: {', '.join(files)}\n")
    click.echo(f"  cd {folder}\n  {_tool('pip')} install -e '.[test]'\n  {_tool('pytest')}\n")
    click.echo("From then on `stretto plugins list` has it; the README says how it is used.")


def _write_file(project: Project, into: Path) -> None:
    path = into / f"{project.module}.py"
    with path.open("x", encoding="utf-8") as file:
        file.write(project.single_file())
    click.echo(f"Wrote {path}. A host takes it that has in its plugins.toml:\n")
    click.echo(f'  [host]\n  paths = ["{path.absolute()}"]')


def _template(name: str) -> str:
    return (TEMPLATES / f"{name}.tmpl").read_text(encoding="utf-8")


def _range(version: str) -> str:
    """Give the versions that keep what `version` promises, as a PEP 440 specifier."""
    return f">={version},<{int(version.partition('.')[0]) + 1}"


def _umask() -> int:
    before = os.umask(0o022)
    os.umask(before)
    return before


def _tool(name: str) -> str:
    """Give the word that runs a tool in the environment that runs this program."""
    found = shutil.which(name)
    if found is not None and Path(found).absolute().parent == Path(sys.executable).absolute().parent:
        return name
    return f"{sys.executable} -m {name}"
