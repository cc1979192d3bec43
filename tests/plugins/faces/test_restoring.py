"""`gfpgan`: faces are found, restored and laid back, and the rest is what the background's network makes of it."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from stretto.host import TilingUpscaler, WeightFile, WeightKind
from stretto.host.errors import WeightsError
from stretto.plugins import superres
from stretto.plugins.faces.detection import open_finder
from stretto.plugins.faces.network import open_restorer

from .conftest import FACE_PX, POINTS, tiny_restorer


def levels(image):
    return np.asarray(image).astype(int)


def background(shelf, image, amount, **tiles):
    view = SimpleNamespace(plugin_settings=lambda _name, into: into(**{"tile": 40, "overlap": 8, **tiles}))
    spec = next(one for one in superres.register_upscalers(view) if one.name == "esrgan")
    file = WeightFile(path=str(shelf / "RealESRGAN_x4plus.pth"), kind=WeightKind.UPSCALER)
    return spec.open(file, "cpu").upscale(image, amount)


def test_the_offer_names_every_file_with_where_it_comes_from(spec):
    assert spec.name == "gfpgan"
    assert spec.missing() is None
    assert spec.source.endswith("/GFPGANv1.4.pth")
    assert list(spec.beside) == [
        "detection_Resnet50_Final.pth", "parsing_parsenet.pth", "RealESRGAN_x4plus.pth",
    ]  # fmt: skip
    assert all(url.startswith("https://") and url.endswith(f"/{name}") for name, url in spec.beside.items())


def test_the_landmarks_are_where_the_network_says(gfpgan, portrait):
    (five,) = gfpgan.finder.landmarks(portrait)
    np.testing.assert_allclose(five, POINTS, atol=1e-3)


def test_a_large_picture_is_looked_at_small_and_its_landmarks_are_in_its_own_pixels(gfpgan, portrait):
    from stretto.plugins.faces import detection

    large = portrait.resize((4 * detection.LONGEST_PX, 256))
    seen = []
    listening = gfpgan.finder.network.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    gfpgan.finder.landmarks(large)
    listening.remove()
    assert seen == [(1, 3, 64, detection.LONGEST_PX)]


@pytest.mark.parametrize("amount", [2, 4])
def test_faces_change_and_the_rest_is_the_backgrounds(gfpgan, shelf, portrait, amount):
    assert isinstance(gfpgan, TilingUpscaler)
    made, plain = gfpgan.upscale(portrait, amount), background(shelf, portrait, amount)
    assert made.size == (96 * amount, 96 * amount)
    difference = np.abs(levels(made) - levels(plain)).max(axis=-1)
    x, y = (POINTS.mean(axis=0) * amount).astype(int)
    assert difference[y - 4 : y + 4, x - 4 : x + 4].mean() > 20
    assert difference[: 4 * amount].max() == 0  # above the face
    assert made.tobytes() == gfpgan.upscale(portrait, amount).tobytes()  # no noise of its own


def test_pieces_are_the_whole(gfpgan, portrait):
    """A face over several pieces is the same as over one."""
    around = gfpgan.background
    one = replace(gfpgan, background=replace(around, settings=superres.Settings(tile=4096)))
    several = replace(gfpgan, background=replace(around, settings=superres.Settings(tile=40, overlap=32)))
    assert len(list(one.pieces(portrait, 2))) == 1
    assert np.abs(levels(one.upscale(portrait, 2)) - levels(several.upscale(portrait, 2))).max() <= 1


def test_a_picture_without_a_face_is_only_enlarged(gfpgan, shelf, portrait):
    tensors = {name: value.clone() for name, value in gfpgan.finder.network.state_dict().items()}
    tensors["ClassHead.2.conv1x1.bias"][3] -= 4  # a score of 0.8 at best, where 0.97 is sure
    unsure = open_finder(tensors, shelf / "any.pth", "cpu")
    assert unsure.landmarks(portrait) == []
    made = replace(gfpgan, finder=unsure).upscale(portrait, 2)
    assert made.tobytes() == background(shelf, portrait, 2).tobytes()


def test_transparency_is_kept(gfpgan, portrait):
    clear = portrait.copy()
    clear.putalpha(Image.linear_gradient("L").resize(portrait.size))
    made = gfpgan.upscale(clear, 2)
    assert made.mode == "RGBA"
    assert made.convert("RGB").tobytes() == gfpgan.upscale(portrait, 2).tobytes()
    expected = clear.getchannel("A").resize(made.size, Image.Resampling.LANCZOS)
    assert np.abs(levels(made.getchannel("A")) - levels(expected)).max() <= 1


@pytest.mark.parametrize("name", ["GFPGANv1.4.pth", "detection_Resnet50_Final.pth", "parsing_parsenet.pth"])
def test_a_file_of_another_network_is_named(shelf, spec, tmp_path, name):
    wrong = tmp_path / name
    torch.save({"weight": torch.zeros(2)}, wrong)
    files = [
        wrong if one == name else next(shelf.glob(f"{one[:-4]}.*"))
        for one in ("GFPGANv1.4.pth", *spec.beside)
    ]
    first, *beside = (WeightFile(path=str(path), kind=WeightKind.UPSCALER) for path in files)
    with pytest.raises(WeightsError, match=f"{name} is not .*; download it again"):
        spec.assemble(first, tuple(beside), "cpu")


def test_numbers_that_are_none_are_told(tmp_path):
    tensors = tiny_restorer()
    tensors["stylegan_decoder.to_rgb1.bias"] += float("nan")
    broken = open_restorer(tensors, tmp_path / "GFPGANv1.4.pth", "cpu")
    with pytest.raises(WeightsError, match=r"GFPGANv1\.4\.pth gives values that are not numbers"):
        broken.restored(torch.zeros(1, 3, FACE_PX, FACE_PX))


@pytest.mark.parametrize(
    "shape", [{}, {"narrow": 0.25, "num_style_feat": 32, "num_mlp": 3}, {"out_size": 128}]
)
def test_the_size_of_the_network_is_read_from_its_tensors(tmp_path, shape):
    made = open_restorer(tiny_restorer(**shape), tmp_path / "any.pth", "cpu")
    assert made.side_px == shape.get("out_size", FACE_PX)
    face = torch.rand(1, 3, made.side_px, made.side_px) * 2 - 1
    assert made.restored(face).shape == face.shape


@pytest.mark.slow
def test_the_published_size_is_what_spandrel_makes_of_it(tmp_path):
    """340 MB of random weights: the same network by both, which spandrel alone would use on whole pictures."""
    import spandrel

    full = {"out_size": 512, "num_style_feat": 512, "narrow": 1}
    tensors = tiny_restorer(**full)
    ours = open_restorer(tensors, tmp_path / "GFPGANv1.4.pth", "cpu")
    theirs = spandrel.ModelLoader().load_from_state_dict(tensors).model.eval()
    face = torch.rand(1, 3, 512, 512) * 2 - 1
    with torch.inference_mode():
        made = theirs(face, return_rgb=False, randomize_noise=False)[0].clamp(-1, 1)
    assert torch.equal(ours.restored(face), made)
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "faces.safetensors")
    with pytest.raises(
        WeightsError, match="restores faces that were found before; name the upscaler 'gfpgan'"
    ):
        superres.read_network(tmp_path / "faces.safetensors", "cpu")


# -- against facexlib, which GFPGAN's authors use: a package for tests alone --------------------------

needs_facexlib = pytest.mark.skipif(
    importlib.util.find_spec("facexlib") is None,
    reason="facexlib is not installed; `make networks` fetches it",
)


@needs_facexlib
def test_faces_are_those_of_facexlib(gfpgan, shelf, portrait):
    from facexlib.detection.retinaface import RetinaFace

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision by older names
        theirs = RetinaFace(device=torch.device("cpu"))
    theirs.load_state_dict(gfpgan.finder.network.state_dict())
    with torch.no_grad():
        said = theirs.detect_faces(np.asarray(portrait)[:, :, ::-1], 0.97)
    found = gfpgan.finder.landmarks(portrait)
    assert len(said) == len(found) == 1
    np.testing.assert_allclose(found[0], said[0, 5:].reshape(5, 2), atol=1e-3)


@needs_facexlib
def test_what_is_of_a_face_is_what_facexlib_says(gfpgan, tmp_path):
    from facexlib.parsing.parsenet import ParseNet

    theirs = ParseNet(in_size=FACE_PX, out_size=FACE_PX, min_feat_size=16, base_ch=4, parsing_ch=19, res_depth=1,
                      ch_range=[4, 8]).eval()  # fmt: skip
    theirs.load_state_dict(gfpgan.parser.network.state_dict())
    face = torch.rand(1, 3, FACE_PX, FACE_PX) * 2 - 1
    with torch.inference_mode():
        assert torch.equal(theirs(face)[0], gfpgan.parser.network(face))


@needs_facexlib
def test_the_picture_is_that_of_facexlibs_helper(gfpgan, shelf, portrait):
    """Faces restored by GFPGAN's network and laid back by the helper: one level off where it cuts, we round."""
    from facexlib.utils.face_restoration_helper import FaceRestoreHelper

    helper = object.__new__(FaceRestoreHelper)  # its own constructor looks for the weights on the network
    helper.__dict__.update(
        upscale_factor=2, face_size=(512, 512), use_parse=True, template_3points=False, pad_blur=False, device="cpu",
        face_template=_template(), all_landmarks_5=[], det_faces=[], affine_matrices=[], inverse_affine_matrices=[],
        cropped_faces=[], restored_faces=[], pad_input_imgs=[], face_parse=lambda face: (_skin(face), None),
    )  # fmt: skip
    helper.read_image(np.asarray(portrait)[:, :, ::-1])
    helper.all_landmarks_5 = gfpgan.finder.landmarks(portrait)
    helper.align_warp_face()
    (upright,) = helper.cropped_faces
    restored = 255 - upright  # any network's
    helper.add_restored_face(restored)
    helper.get_inverse_affine()
    around = background(shelf, portrait, 2)
    theirs = helper.paste_faces_to_input_image(upsample_img=np.asarray(around)[:, :, ::-1])[:, :, ::-1]
    ours = type(gfpgan)(
        gfpgan.finder,
        SimpleNamespace(side_px=512, restored=lambda face: -face),
        type(gfpgan.parser)(_skin, "cpu"),
        gfpgan.background,
    ).upscale(portrait, 2)
    assert np.abs(levels(ours) - theirs.astype(int)).max() <= 1
    assert np.abs(levels(ours) - levels(around)).max() > 100


def _template():
    from stretto.plugins.faces.restoring import TEMPLATE

    return TEMPLATE


def _skin(face):
    classes = torch.zeros(1, 19, *face.shape[2:])
    classes[:, 1, 100:400, 120:390] = 1
    return classes
