"""Which compiler's engines a plan asks for, and what is said where there can be none."""

from dataclasses import replace
from typing import Any

import pytest
from stretto.host import CompilerSpec, Component, InvocationRequest, Precision
from stretto.host.contracts.acceleration import Acceleration
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan


def _offer(view: Any, name: str, why: str | None = None) -> None:
    def unused() -> Any:
        raise AssertionError("planning builds nothing")

    spec = CompilerSpec(
        name=name,
        build=unused,
        components=(Component.UNET,),
        precisions=(Precision.FLOAT32,),
        missing=lambda: why,
    )
    view.registries["compilers"].add(spec, "p")


def _faults(view: Any, **asked: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as caught:
        build_plan(InvocationRequest(prompt="x", **asked), view)
    return {fault.field: fault.message for fault in caught.value.faults}


def _asked(view: Any, **asked: Any) -> Acceleration | None:
    return build_plan(InvocationRequest(prompt="x", **asked), view).acceleration


def test_nothing_is_compiled_unless_it_is_asked_for(view: Any) -> None:
    _offer(view, "onnxruntime")
    assert _asked(view) is None
    assert _asked(view, acceleration="onnxruntime") == Acceleration(requested="onnxruntime")


def test_the_setting_asks_for_all_requests_but_those_that_say_none(view: Any) -> None:
    _offer(view, "onnxruntime")
    view.settings = replace(view.settings, acceleration="onnxruntime")
    assert _asked(view) == Acceleration(requested="onnxruntime")
    assert _asked(view, acceleration="none") is None


def test_build_tensorrt_means_the_tensorrt_that_is_here(view: Any) -> None:
    _offer(view, "tensorrt", "it is not installed")
    _offer(view, "tensorrt_rtx")
    plan = build_plan(InvocationRequest(prompt="x", build_tensorrt=True), view)
    assert plan.acceleration == Acceleration(requested="tensorrt_rtx", build=True)
    record = plan.to_json()
    assert record["build_tensorrt"] is True
    assert record["acceleration"] == {"requested": "tensorrt_rtx", "used": [], "why": []}


def test_what_cannot_be_built_is_refused_with_every_reason(view: Any) -> None:
    _offer(view, "tensorrt", "it is not installed")
    _offer(view, "onnxruntime")
    assert _faults(view, build_tensorrt=True) == {
        "build_tensorrt": "nothing can build it here; 'tensorrt': it is not installed; "
        "'tensorrt_rtx': no plugin offers it; other values of acceleration: onnxruntime"
    }
    said = _faults(view, build_tensorrt=True, acceleration="tensorrt")
    assert said == {"build_tensorrt": "'tensorrt' cannot build here: it is not installed"}
    assert list(_faults(view, build_tensorrt=True, acceleration="none")) == ["acceleration"]


def test_without_its_library_torch_draws_and_the_plan_says_so(view: Any) -> None:
    _offer(view, "tensorrt", "it is not installed")
    plan = build_plan(InvocationRequest(prompt="x", acceleration="tensorrt"), view)
    assert plan.acceleration == Acceleration(requested="tensorrt")
    assert [note for note in plan.notes if "it is not installed" in note]


def test_an_unknown_compiler_is_told_the_nearest(view: Any) -> None:
    _offer(view, "onnxruntime")
    assert "did you mean 'onnxruntime'" in _faults(view, acceleration="onxruntime")["acceleration"]
