"""Loads folders in diffusers' layout by diffusers' own pipeline, if their names end in `-pipeline`."""

from dataclasses import dataclass

from stretto.host import LoadedModel, LoaderSpec, WeightKind, WeightsError, hookimpl


@dataclass(frozen=True)
class PipelineLoader:
    def accepts(self, file):
        return file.kind is WeightKind.DIFFUSERS and file.name.endswith("-pipeline")

    def load(self, spec, precision, device):
        import torch
        from diffusers import StableDiffusionPipeline

        path = spec.weights.path
        try:
            pipe = StableDiffusionPipeline.from_pretrained(path, local_files_only=True, safety_checker=None)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be loaded: {error}; copy it again from its source") from error
        pipe.to(device, getattr(torch, precision))
        return LoadedModel(
            spec=spec,
            unet=pipe.unet.eval(),
            vae=pipe.vae.eval(),
            text_encoders=(pipe.text_encoder.eval(),),
            tokenizers=(pipe.tokenizer,),
            scheduler_config=pipe.scheduler.config,
            options={},
        )


@hookimpl
def register_loaders():
    return [LoaderSpec(name="pipelines", title="Folders named *-pipeline", build=PipelineLoader)]
