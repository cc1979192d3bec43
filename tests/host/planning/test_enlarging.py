from pathlib import Path
from typing import Any

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest, Plan, Rediffuse, Rediffusion, Upscale, UpscalerSpec
from stretto.host.contracts.images import ImageRef
from stretto.host.errors import InvalidRequestError
from stretto.host.planning.build import build_plan
from stretto.host.planning.estimate import drawn_over, progress_ticks
from stretto.host.planning.files import find_file
from stretto.host.planning.order import order
from stretto.host.settings import Folders

IMAGE = ImageRef(path="/inputs/a.png", width=512, height=512, mode="RGB", sha256="a")


def plan_of(view: Any, **asked: Any) -> Plan:
    values = {"prompt": "x", "negative_prompt": "y", "model": "sd1.safetensors", "seed": 1, **asked}
    return build_plan(InvocationRequest(**values), view)


def stages_of(view: Any, outscale: int = 8, **asked: Any) -> list[Rediffusion | None]:
    values = {"upscale": ("lanczos",), "upscale_iterative": True, "upscale_diffusion": True, **asked}
    return [stage.diffusion for stage in plan_of(view, outscale=outscale, **values).upscale]


def opened(*_: Any) -> Any:
    raise AssertionError("planning opens nothing")


@pytest.fixture
def shelf(view: Any, tmp_path: Path) -> Path:
    """Give the folder of upscalers of a view that offers one with a file, one without, and a broken one."""
    view.folders = Folders(tmp_path)
    folder = view.folders.model_folder("upscaler")
    folder.mkdir(parents=True)
    for spec in (
        UpscalerSpec(name="net", files=("a.pth", "b.pth"), source="https://example.org/a.pth", open=opened),
        UpscalerSpec(name="any", open=opened),
        UpscalerSpec(name="faces", files=("f.pth",), open=opened, missing=lambda: "there are no faces"),
    ):
        view.registries["upscalers"].add(spec, "p")
    return Path(folder)


# drawing over


def test_the_defaults_are_the_contracts(view: Any) -> None:
    first, second, third = stages_of(view)
    assert first == Rediffusion(
        prompt="x", negative_prompt="y", num_inference_steps=100, guidance_scale=12.0, strength=0.2,
        chunking_size=128, chunking_blur=128,
    )  # fmt: skip
    assert second is not None
    assert third is not None
    # twice as far at the second doubling; never farther than half a window
    assert [(stage.chunking_size, stage.chunking_blur) for stage in (second, third)] == [(256, 256)] * 2


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [
        ({"upscale_diffusion_chunking_size": 64}, [64, 128, 192]),
        ({"upscale_diffusion_chunking_size": 64, "upscale_diffusion_scale_chunking_size": False}, [64] * 3),
        ({"upscale_diffusion_chunking_size": 0}, [0] * 3),
        ({"upscale_diffusion_chunking_size": 3, "width": 128, "height": 128}, [8, 8, 9]),
        ({"upscale_diffusion_chunking_size": 400}, [256] * 3),
    ],
)
def test_windows_move_farther_at_each_stage(view: Any, asked: dict[str, Any], sizes: list[int]) -> None:
    assert [stage.chunking_size for stage in stages_of(view, **asked) if stage] == sizes


def test_blur_grows_by_itself(view: Any) -> None:
    found = stages_of(
        view, upscale_diffusion_chunking_blur=50, upscale_diffusion_scale_chunking_blur=False, outscale=4
    )
    assert [(stage.chunking_size, stage.chunking_blur) for stage in found if stage] == [(128, 50), (256, 50)]


def test_lists_have_an_item_a_stage_and_repeat_their_last(view: Any) -> None:
    found = stages_of(
        view,
        upscale_diffusion_steps=(10, 20, 30),
        upscale_diffusion_strength=(0.1, 0.5),
        upscale_diffusion_guidance_scale=(3.0,),
        upscale_diffusion_prompt=("a", "b"),
        upscale_diffusion_negative_prompt=("c",),
        model_prompt="m",
        model_negative_prompt="n",
    )
    said = [
        (s.num_inference_steps, s.strength, s.guidance_scale, s.prompt, s.negative_prompt) for s in found if s
    ]
    assert said == [
        (10, 0.1, 3.0, "a, m", "c, n"), (20, 0.5, 3.0, "b, m", "c, n"), (30, 0.5, 3.0, "b, m", "c, n"),
    ]  # fmt: skip


def test_without_iterations_there_is_one_stage_and_the_rest_of_a_list_is_told(view: Any) -> None:
    plan = plan_of(
        view, outscale=4, upscale=("lanczos",), upscale_diffusion=True, upscale_diffusion_steps=(10, 20)
    )
    assert [
        (stage.amount, stage.diffusion and stage.diffusion.num_inference_steps) for stage in plan.upscale
    ] == [(4, 10)]
    assert plan.notes == (
        "upscale_diffusion_steps has 2 items, and the first 1 of them are used, one a stage",
    )


def test_a_strength_without_a_step_is_left_out_and_told(view: Any) -> None:
    plan = plan_of(
        view, outscale=4, upscale=("lanczos",), upscale_iterative=True, upscale_diffusion=True,
        upscale_diffusion_strength=(0.0, 0.5),
    )  # fmt: skip
    assert [stage.diffusion is None for stage in plan.upscale] == [True, False]
    assert plan.notes == ("stage 1 is not drawn over: 100 upscale_diffusion_steps at strength 0 are none",)


def test_drawing_over_nothing_is_told(view: Any) -> None:
    plan = plan_of(view, upscale_diffusion=True)
    assert plan.notes == ("upscale_diffusion draws over nothing without outscale and upscale",)


def test_lists_without_a_number_are_faults(view: Any) -> None:
    empty = {"upscale_diffusion_steps": (), "upscale_diffusion_controlnet_scale": ()}
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, outscale=2, upscale=("lanczos",), upscale_diffusion=True, **empty)
    assert {fault.field for fault in caught.value.faults} == set(empty)


def test_too_many_windows_are_a_fault(view: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        stages_of(
            view, 16, upscale_diffusion_chunking_size=8, upscale_diffusion_scale_chunking_size=False,
            upscale_iterative=False,
        )  # fmt: skip
    (fault,) = caught.value.faults
    assert fault.field == "upscale_diffusion_chunking_size"
    assert "8 px gives 923521 windows a step at 8192 x 8192 px" in fault.message


def test_drawing_over_is_a_step_that_says_how_much_it_is(view: Any) -> None:
    plan = plan_of(view, outscale=4, upscale=("lanczos",), upscale_iterative=True, upscale_diffusion=True)
    _, first, again, second, _, _ = order(plan)
    assert isinstance(first, Upscale)
    assert isinstance(second, Upscale)
    assert again == Rediffuse(
        settings=plan.upscale[0].diffusion,  # type: ignore[arg-type]  # it is not None, as the comparison shows
        model=plan.base(),
        why="draw over 1024 x 1024 px at strength 0.2, 20 steps in 25 windows",
    )
    assert [over.chunks for over in drawn_over(plan)] == [25, 49]


def test_ticks_count_each_sample(view: Any) -> None:
    asked = {"outscale": 2, "upscale": ("lanczos",), "samples": 3}
    plain, again = plan_of(view, **asked), plan_of(view, upscale_diffusion=True, **asked)
    assert progress_ticks(again) - progress_ticks(plain) == 3 * 25 * (20 + 2)


def test_the_record_says_every_stage_and_is_read_back(view: Any) -> None:
    plan = plan_of(view, outscale=4, upscale=("lanczos",), upscale_iterative=True, upscale_diffusion=True)
    said = plan.to_json()["upscale"]
    assert said == {
        "method": ["lanczos", "lanczos"],
        "amount": 4,
        "iterative": True,
        "diffusion": {
            "steps": [100, 100], "guidance_scale": [12.0, 12.0], "chunking_size": [128, 256],
            "chunking_blur": [128, 256], "strength": [0.2, 0.2], "prompt": ["x", "x"],
            "negative_prompt": ["y", "y"], "controlnet": None, "scale_chunking_size": True,
            "scale_chunking_blur": True,
        },
    }  # fmt: skip
    assert plan_from_json(plan.to_json()) == plan


# networks


def test_the_first_file_that_is_there_is_taken(view: Any, shelf: Path) -> None:
    (shelf / "b.pth").write_bytes(b"b" * 9000)
    (stage,) = plan_of(view, outscale=2, upscale=("net",)).upscale
    assert stage.weights is not None
    assert (stage.weights.path, stage.weights.size_bytes) == (str(shelf / "b.pth"), 9000)
    (shelf / "a.pth").write_bytes(b"a" * 9000)
    (other,) = plan_of(view, outscale=2, upscale=("net",)).upscale
    assert other.weights is not None
    assert other.weights.name == "a.pth"
    assert other.weights.fingerprint != stage.weights.fingerprint
    assert plan_from_json(plan_of(view, outscale=2, upscale=("net",)).to_json()).upscale == (other,)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "net",
            (
                "'net' needs its weights; put a.pth or b.pth into {0}, for instance by: "
                "curl --location --output '{0}/a.pth' https://example.org/a.pth"
            ),
        ),
        ("any", "'any' opens networks by the name of their file; name one in {0} (there: none)"),
        ("c.pth", "there is no upscaler 'c.pth'; {1}; or name a file in {0} (there: none)"),
    ],
)
def test_a_missing_file_is_one_fault(view: Any, shelf: Path, word: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        plan_of(view, outscale=2, upscale=(word,))
    known = "known: any, bicubic, faces, lanczos, nearest, net"
    assert str(caught.value) == "upscale: " + message.format(shelf, known)


def test_what_cannot_work_here_says_why(view: Any, shelf: Path) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"^upscale\[1\]: 'faces' cannot work here: there are no faces$"
    ):
        plan_of(view, outscale=2, upscale=("lanczos", "faces"))


def test_a_file_may_lie_deeper_but_not_outside(tmp_path: Path) -> None:
    from stretto.host import WeightKind

    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.pth").write_bytes(b"a")
    (tmp_path / "b.pth").write_bytes(b"b")
    found = find_file(folder, ["no.pth", "sub/a.pth"], WeightKind.UPSCALER)
    assert found is not None
    assert found.path == str(folder / "sub" / "a.pth")
    assert find_file(folder, ["../b.pth", str(tmp_path / "b.pth"), "sub", ""], WeightKind.UPSCALER) is None


# backgrounds


def test_without_a_plugin_for_it_backgrounds_stay(view: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^remove_background: no plugin here removes backgrounds"):
        plan_of(view, remove_background=True)
