"""Adds what files named `offset*.safetensors` in models/lora hold to the bias of the UNet's first convolution."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

from stretto.host import PatcherSpec, WeightKind, WeightsError, hookimpl


@dataclass(frozen=True)
class Offset:
    def accepts(self, file):
        return file.kind is WeightKind.LORA and file.name.startswith("offset")

    @contextmanager
    def applied(self, model, patch, note):
        import torch
        from safetensors.torch import load_file

        bias = model.unet.conv_in.bias
        offset = load_file(patch.file.path).get("offset.lora_down.weight")
        if offset is None or offset.shape != bias.shape:
            raise WeightsError(
                f"{patch.file.path} has no 'offset' of {bias.numel()} numbers; it is for another model"
            )
        before = bias.detach().clone()
        try:
            with torch.no_grad():
                bias += patch.weight * offset.to(bias)
            note(f"offset: {patch.file.name} by {patch.weight}")
            yield replace(model, patches=(*model.patches, patch))
        finally:
            with torch.no_grad():
                bias.copy_(before)  # to the bit, which subtracting would not be


@hookimpl
def register_patchers():
    return [PatcherSpec(name="offsets", title="Offsets of the first bias", build=Offset)]
