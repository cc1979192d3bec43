"""What can happen to compiled engines, and what comes of each: the table that docs show and tests run over."""  # noqa: INP001 - beside the pages, not a package

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from value_words import table

__all__ = ["FAULTS", "EngineFault", "fault_parts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFault:
    """One thing that can happen, and the documented state afterwards.

    `found` is what a job finds under its key, `listed` the state in `stretto engines list`, and `build` what
    becomes of a request to build the engine.
    """

    name: str
    happens: str
    found: Literal["the engine", "a damaged engine", "a quarantined engine", "nothing"]
    listed: Literal["unverified", "quarantined", "damaged", "unreadable", "newer", "-"]
    build: Literal["taken as it is", "built", "refused"]
    comes: str  # in words


FAULTS = (
    EngineFault(
        name="flipped byte",
        happens="A byte of an engine's file is another.",
        found="a damaged engine", listed="unverified", build="built",
        comes="Its SHA-256 is read when it is first opened in a process, and by `stretto engines verify`; the list "
        "looks at lengths alone.",
    ),
    EngineFault(
        name="cut file",
        happens="A file of an engine is shorter or longer than it was.",
        found="a damaged engine", listed="damaged", build="built",
        comes="It is never opened.",
    ),
    EngineFault(
        name="missing file",
        happens="A file of an engine is gone.",
        found="a damaged engine", listed="damaged", build="built",
        comes="It is never opened.",
    ),
    EngineFault(
        name="truncated manifest",
        happens="The manifest is cut short, or not JSON.",
        found="nothing", listed="unreadable", build="built",
        comes="Nothing is known of the files beside it, so none is opened.",
    ),
    EngineFault(
        name="missing manifest",
        happens="The manifest is gone.",
        found="nothing", listed="unreadable", build="built",
        comes="Nothing is known of the files beside it, so none is opened.",
    ),
    EngineFault(
        name="manifest that leads out",
        happens="The manifest names a file outside the engine's folder.",
        found="nothing", listed="unreadable", build="built",
        comes="The file that it names is not touched.",
    ),
    EngineFault(
        name="another engine's folder",
        happens="A folder was renamed, or its manifest is another engine's.",
        found="nothing", listed="unreadable", build="built",
        comes="The key in a manifest must be the folder's name.",
    ),
    EngineFault(
        name="newer manifest",
        happens="A later release of Stretto wrote the manifest.",
        found="nothing", listed="newer", build="refused",
        comes="The later release's engine is left alone; torch draws.",
    ),
    EngineFault(
        name="foreign GPU",
        happens="The engine was built for another GPU.",
        found="nothing", listed="unverified", build="built",
        comes="The target is part of the key. The list says `foreign`.",
    ),
    EngineFault(
        name="another library version",
        happens="The compiler's library was updated.",
        found="nothing", listed="unverified", build="built",
        comes="The version is part of the key. The old engine goes by age: `stretto engines prune --older-than 30d`.",
    ),
    EngineFault(
        name="changed checkpoint",
        happens="Another checkpoint stands under the old name.",
        found="nothing", listed="unverified", build="built",
        comes="The weights' SHA-256 is part of the key. The old engine is orphaned: `stretto engines prune --orphaned`.",
    ),
    EngineFault(
        name="changed adapter",
        happens="A LoRA or LyCORIS has another content or weight.",
        found="nothing", listed="unverified", build="built",
        comes="What is merged is part of the key. An adapter that is gone makes its engine an orphan.",
    ),
    EngineFault(
        name="failed parity",
        happens="An engine's outputs are too far from torch's.",
        found="a quarantined engine", listed="quarantined", build="taken as it is",
        comes="It is kept with its report and never used; the same build would give the same engine. "
        "`stretto engines remove` lets it be built again.",
    ),
    EngineFault(
        name="read-only folder",
        happens="The folder of the engines may only be read.",
        found="the engine", listed="unverified", build="taken as it is",
        comes="Engines are used. What is found of them, and when they were used, is not written down; a build is "
        "refused with the system's words.",
    ),
    EngineFault(
        name="no disk left",
        happens="The disk is full while an engine is written.",
        found="nothing", listed="-", build="built",
        comes="The build fails with the system's words; what was written is removed.",
    ),
    EngineFault(
        name="failed build",
        happens="The compiler fails, or writes nothing.",
        found="nothing", listed="-", build="built",
        comes="The build fails with the compiler's words; what was written is removed.",
    ),
    EngineFault(
        name="killed build",
        happens="The building process is killed.",
        found="nothing", listed="-", build="built",
        comes="Its lock goes with it. What it wrote is never found, and is removed by the next build or prune.",
    ),
    EngineFault(
        name="two builders",
        happens="Two processes ask for one engine at once.",
        found="the engine", listed="unverified", build="taken as it is",
        comes="One builds; the other waits and takes the same engine.",
    ),
    EngineFault(
        name="removed while read",
        happens="An engine is removed, or pruned, while a process has it open.",
        found="nothing", listed="-", build="built",
        comes="Open files stay readable; whoever opens it later draws with torch, or builds it.",
    ),
    EngineFault(
        name="replaced while read",
        happens="A damaged engine is built anew while a process reads it.",
        found="the engine", listed="unverified", build="taken as it is",
        comes="The folder changes places at once: nobody sees half of one and half of the other.",
    ),
    EngineFault(
        name="archive that leads out",
        happens="A member of an imported archive has an absolute name, `..`, or is a link.",
        found="nothing", listed="-", build="built",
        comes="The import is refused, naming the member; nothing is kept.",
    ),
    EngineFault(
        name="changed archive",
        happens="A file in an imported archive is not what its manifest says, is missing, or is one too many.",
        found="nothing", listed="-", build="built",
        comes="The import is refused, naming the file; nothing is kept.",
    ),
    EngineFault(
        name="cut archive",
        happens="An imported archive is cut short, or is none.",
        found="nothing", listed="-", build="built",
        comes="The import is refused; nothing is kept.",
    ),
)  # fmt: skip

INTRO = """
What a job finds under its key, what `stretto engines list` says afterwards, and what becomes of a request to build
the engine, for everything that can happen to one. Wherever there is no engine to use, torch draws, and the
invocation's record says why. `tests/trt_cache/test_fault_matrix.py` does each of these to real folders, processes and
archives. [Compiled engines](../explanation/engines.md) tells the life of one.
"""


def fault_parts() -> list[str]:
    """Give the page's parts, in order."""
    heads = ("what happens", "a job finds", "listed as", "asked to build", "what comes of it")
    rows = [(fault.happens, fault.found, fault.listed, fault.build, fault.comes) for fault in FAULTS]
    return [INTRO, table(heads, rows)]
