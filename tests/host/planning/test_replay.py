"""A recorded plan's files, found again by their names in the folders of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stretto.api.plan_json import plan_from_json
from stretto.host import InvocationRequest, WeightKind
from stretto.host.contracts.plan import Follower, Plan, Preprocessing
from stretto.host.errors import NotFoundError, WeightsError
from stretto.host.planning.build import build_plan
from stretto.host.planning.files import find_file
from stretto.host.planning.replay import found_again
from stretto.host.settings import Folders

from .conftest import MODELS

KINDS = {
    "upscaler": WeightKind.UPSCALER, "preprocessor": WeightKind.PREPROCESSOR, "background": WeightKind.BACKGROUND,
}  # fmt: skip


@pytest.fixture
def recorded(view: Any, tmp_path: Path) -> Plan:
    """Give a plan with a file from each folder of files that are known by name alone."""
    view.folders = Folders(tmp_path / "here")
    files = {}
    for folder, kind in KINDS.items():
        path = view.folders.model_folder(folder) / f"{folder}.pth"
        path.parent.mkdir(parents=True)
        path.write_bytes(folder.encode())
        files[folder] = find_file(path.parent, [path.name], kind)
    plan = build_plan(
        InvocationRequest(
            prompt="x",
            model="sd1.safetensors",
            seed=1,
            outscale=2,
            upscale=("lanczos",),
            upscale_diffusion=True,
        ),
        view,
    )
    (stage,) = plan.upscale
    assert stage.diffusion is not None
    follower = Follower(
        controlnet="hed",
        weights=MODELS[1],
        preprocessing=Preprocessing(method="hed", weights=(files["preprocessor"],)),
    )
    drawn = replace(stage.diffusion, control=follower)
    whole = replace(stage, weights=files["upscaler"], beside=(files["background"],), diffusion=drawn)
    return replace(plan, upscale=(whole,))


def test_files_are_found_where_the_folders_are_now(view: Any, recorded: Plan, tmp_path: Path) -> None:
    assert found_again(recorded, view) == recorded
    (tmp_path / "here").rename(tmp_path / "there")
    view.folders = Folders(tmp_path / "there")
    found = found_again(plan_from_json(recorded.to_json()), view)
    (stage,) = found.upscale
    assert stage.diffusion is not None
    assert stage.diffusion.control is not None
    assert stage.diffusion.control.preprocessing is not None
    (preprocessor,) = stage.diffusion.control.preprocessing.weights
    paths = [file.path for file in (stage.weights, *stage.beside, preprocessor) if file]
    assert [Path(path).is_relative_to(tmp_path / "there") for path in paths] == [True] * 3


@pytest.mark.parametrize("folder", KINDS)
def test_another_file_and_none_are_told_by_name(view: Any, recorded: Plan, folder: str) -> None:
    path = view.folders.model_folder(folder) / f"{folder}.pth"
    path.write_bytes(b"another")
    with pytest.raises(
        WeightsError, match=rf"{folder}\.pth is not the '{folder}\.pth' that the plan was drawn with"
    ):
        found_again(recorded, view)
    path.unlink()
    with pytest.raises(NotFoundError, match=f"put it into {path.parent}"):
        found_again(recorded, view)
