"""What torch wrote, and what only has the name of it."""

from __future__ import annotations

import pickle
import zipfile
from io import BytesIO

import pytest
from stretto.api.arrivals import look
from stretto.host.errors import WeightsError

PLAIN = pickle.dumps({"a": "bc"}, 4)


def zipped(content: bytes, name: str = "data.pkl") -> bytes:
    """What torch.save writes, around any pickle."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"archive/{name}", content)
        archive.writestr("archive/version", "3")
    return made.getvalue()


def older(content: bytes) -> bytes:
    """What torch.save wrote before version 1.6: its number, a version, the machine, and any pickle."""
    before = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    return b"".join(pickle.dumps(one, 2) for one in before) + content


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        pickle.dumps([1, 2]),
        b"half a pickle",
        b"\x80",
        bytes(512),
        zipped(b"half"),
        zipped(PLAIN)[:60],
        zipped(PLAIN, "data.txt"),
        zipped(PLAIN).replace(b"\x8c\x02bc", b"\x8c\x02bd"),  # which is not its checksum
        older(b""),
        older(PLAIN)[:30],
        older(PLAIN[:-1]),
    ],
)
def test_what_torch_did_not_write_is_refused(tmp_path, content, suffix):
    file = tmp_path / "file.part"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="is no file that torch wrote"):
        look(file, suffix)


@pytest.mark.parametrize("content", [zipped(PLAIN), older(PLAIN), older(pickle.dumps({}, 2)) + bytes(64)])
def test_what_torch_wrote_is_kept(tmp_path, content):
    file = tmp_path / "file.part"
    file.write_bytes(content)
    look(file, ".ckpt")


@pytest.mark.parametrize("zipped_up", [True, False])
def test_what_this_torch_writes_is_kept(tmp_path, zipped_up):
    import torch

    file = tmp_path / "file.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(3)}}, file, _use_new_zipfile_serialization=zipped_up)
    look(file, ".ckpt")
