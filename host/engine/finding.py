"""Which engines an order can be served by: its own, and what stands in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from stretto.trt_cache.keys import EngineKey
from stretto.trt_cache.kin import covering
from stretto.trt_cache.store import EngineStore, State, StoredEngine

from ..contracts.engines import Compiler, Targeted
from ..contracts.specs import CompilerSpec

__all__ = ["find_engine", "flags_of", "policy_of"]


def policy_of(spec: CompilerSpec, target: str) -> Literal["static", "range"]:
    """Give the policy for sizes that a compiler has for a target of its own accord."""
    return spec.profiled if spec.profiled_for is None else spec.profiled_for(target)


def flags_of(compiler: Compiler, target: str) -> tuple[tuple[str, ...], ...]:
    """Give the flags of what is built for a target, then those of engines that serve in its place."""
    return compiler.flags_for(target) if isinstance(compiler, Targeted) else (compiler.flags(),)


def find_engine(
    store: EngineStore, key: EngineKey, compiler: Compiler, policy: str | None
) -> StoredEngine | None:
    """Find the engine of a key; where there is none, one of other flags, or of wider ranges, that serves as well.

    None of other ranges is taken where `policy` is "static", none of one size where it is "range".
    """
    if stored := store.find(key):
        return stored
    keys = [replace(key, flags=flags) for flags in flags_of(compiler, key.target)]
    for other in keys[1:]:
        stored = store.find(other)
        if stored is not None and stored.state in (State.VERIFIED, State.UNVERIFIED):
            return stored
    if policy == "static":
        return None
    there = [one for one in store.all() if policy is None or not one.key.static]
    return next((wider for one in keys if (wider := covering(there, one))), None)
