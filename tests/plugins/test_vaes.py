from __future__ import annotations

from stretto.host import Family
from stretto.plugins.vaes import register_vaes


def test_the_words_of_the_contract_with_their_families() -> None:
    specs = {spec.name: spec for spec in register_vaes()}
    assert list(specs) == ["ema", "mse", "xl", "xl16"]
    assert Family.SDXL not in specs["mse"].families
    assert Family.SDXL in specs["xl16"].families


def test_only_the_first_xl_vae_must_decode_in_full_precision() -> None:
    assert [spec.name for spec in register_vaes() if spec.upcast] == ["xl"]


def test_files_belong_to_one_vae_each() -> None:
    files = [file for spec in register_vaes() for file in spec.files]
    assert len(files) == len(set(files))
