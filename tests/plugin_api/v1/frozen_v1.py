"""The hooks and offers of plugin API 1.0 but for routes and commands, plainly. NEVER EDITED: see README.md beside it."""

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

from stretto.host import (
    BackgroundRemoverSpec,
    CompilerSpec,
    Component,
    ControlNetSpec,
    EngineBuildError,
    EngineOpenError,
    Event,
    Family,
    Finished,
    LoadedModel,
    LoaderSpec,
    ModelOffer,
    PatcherSpec,
    Precision,
    PreprocessorSpec,
    Save,
    SchedulerSpec,
    UpscalerSpec,
    VaeSpec,
    WeightKind,
    WeightsError,
    hookimpl,
)

__version__ = "1.0"
REQUIRES_STRETTO_API = ">=1.0,<2"
NAME = "frozen_v1"


@dataclass(frozen=True)
class Settings:
    """The table [plugins.frozen_v1] of plugins.toml."""

    model: str = ""
    diary: str = ""
    level: int = 128


@dataclass(frozen=True)
class Parameters:
    """What a request says under `plugins: {frozen_v1: {...}}`."""

    corner: str = "none"
    steps: int = 50


# models, and how they are loaded and changed


@hookimpl
def register_models(host):
    path = host.plugin_settings(NAME, Settings).model
    if not path:
        return []
    return [
        ModelOffer(
            name="frozen-model",
            title="A model of a plugin",
            aliases=("frozen-house",),
            path=path,
            family=Family.SD1,
            size_px=128,
            defaults={"num_inference_steps": 4, "scheduler": "frozen-ddim"},
        )
    ]


class Loader:
    def accepts(self, file):
        return file.kind is WeightKind.DIFFUSERS and Path(file.path).name.startswith("frozen")

    def load(self, spec, precision, device):
        import torch
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        path, dtype = Path(spec.weights.path), getattr(torch, precision.value)
        try:
            unet = UNet2DConditionModel.from_pretrained(path / "unet", local_files_only=True)
            vae = AutoencoderKL.from_pretrained(path / "vae", local_files_only=True)
            text_encoder = CLIPTextModel.from_pretrained(path / "text_encoder", local_files_only=True)
            tokenizer = CLIPTokenizer.from_pretrained(path / "tokenizer", local_files_only=True)
            config = json.loads((path / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{path} cannot be loaded: {error}; copy it again from its source") from error
        return LoadedModel(
            spec=spec,
            unet=unet.to(device, dtype).eval(),
            vae=vae.to(device, dtype).eval(),
            text_encoders=(text_encoder.to(device, dtype).eval(),),
            tokenizers=(tokenizer,),
            scheduler_config=config,
            options={},
        )


@hookimpl
def register_loaders(host):
    return [LoaderSpec(name="frozen-loader", title="Folders named frozen*", build=Loader)]


class Patcher:
    def accepts(self, file):
        return file.kind is WeightKind.LORA and Path(file.path).name.startswith("frozen")

    @contextmanager
    def applied(self, model, patch, note):
        import torch
        from safetensors.torch import load_file

        bias = model.unet.conv_in.bias
        offset = load_file(patch.file.path).get("offset.lora_down.weight")
        if offset is None or offset.shape != bias.shape:
            raise WeightsError(f"{patch.file.path} has no offset of {bias.numel()} numbers; it is not for {patch.file.family}")
        before = bias.detach().clone()
        try:
            with torch.no_grad():
                bias += patch.weight * offset.to(bias)
            note(f"frozen_v1: {patch.file.name} by {patch.weight}")
            yield replace(model, patches=(*model.patches, patch))
        finally:
            with torch.no_grad():
                bias.copy_(before)


@hookimpl
def register_patchers(host):
    return [PatcherSpec(name="frozen-patcher", title="Offsets of the first bias", build=Patcher)]


@hookimpl
def register_vaes(host):
    return [
        VaeSpec(
            name="frozen-vae",
            title="A VAE by name",
            files=("frozen-vae.safetensors",),
            families=(Family.SD1,),
            upcast=True,
            source="https://example.org/frozen-vae.safetensors",
        )
    ]


# how pictures are drawn


class Ddim:
    """DDIM (Song et al. 2020, https://arxiv.org/abs/2010.02502), eta 0."""

    init_noise_sigma = 1.0
    order = 1

    def __init__(self, config):
        import torch

        if config.get("beta_schedule", "scaled_linear") != "scaled_linear":
            raise WeightsError(f"frozen-ddim knows the beta_schedule scaled_linear, not '{config['beta_schedule']}'")
        self._v = config.get("prediction_type", "epsilon") == "v_prediction"
        self._trained = int(config.get("num_train_timesteps", 1000))
        self.config = SimpleNamespace(num_train_timesteps=self._trained)
        ends = (config.get("beta_start", 0.00085), config.get("beta_end", 0.012))
        betas = torch.linspace(ends[0] ** 0.5, ends[1] ** 0.5, self._trained, dtype=torch.float64) ** 2
        self._kept = torch.cumprod(1 - betas, 0)  # the signal's share of variance, by timestep
        self.timesteps = torch.zeros(0, dtype=torch.long)

    def set_timesteps(self, num_inference_steps, device=None):
        import torch

        moments = torch.linspace(self._trained - 1, 0, num_inference_steps + 1)[:-1]
        self.timesteps = moments.round().long().to(device)

    def scale_model_input(self, sample, timestep):
        return sample

    def add_noise(self, original_samples, noise, timesteps):
        kept = self._kept[timesteps.long().cpu()].view(-1, 1, 1, 1).to(original_samples)
        return kept.sqrt() * original_samples + (1 - kept).sqrt() * noise

    def step(self, model_output, timestep, sample, return_dict=True):
        now = int(timestep)
        later = [int(moment) for moment in self.timesteps if int(moment) < now]
        kept, then = float(self._kept[now]), float(self._kept[later[0]]) if later else 1.0
        if self._v:
            clean = kept**0.5 * sample - (1 - kept) ** 0.5 * model_output
            noise = kept**0.5 * model_output + (1 - kept) ** 0.5 * sample
        else:
            noise = model_output
            clean = (sample - (1 - kept) ** 0.5 * noise) / kept**0.5
        stepped = then**0.5 * clean + (1 - then) ** 0.5 * noise
        return SimpleNamespace(prev_sample=stepped) if return_dict else (stepped,)


@hookimpl
def register_schedulers(host):
    return [SchedulerSpec(name="frozen-ddim", title="DDIM, written out", aliases=("frozen-d",), build=Ddim)]


class Threshold:
    def __init__(self, level):
        self._level = level

    def processed(self, image):
        return image.convert("L").point(lambda value: 255 if value >= self._level else 0).convert("RGB")


@hookimpl
def register_preprocessors(host):
    level = host.plugin_settings(NAME, Settings).level
    return [PreprocessorSpec(name="frozen-threshold", open=lambda files, device: Threshold(level), files={})]


@hookimpl
def register_controlnets(host):
    return [
        ControlNetSpec(
            name="frozen-lines",
            title="Lines",
            weights={Family.SD1: ("frozen-lines.safetensors",)},
            sources={Family.SD1: "https://example.org/frozen-lines.safetensors"},
            preprocessor="frozen-threshold",
        )
    ]


class Doubler:
    def upscale(self, image, amount):
        from PIL import Image

        return image.resize((image.width * amount, image.height * amount), Image.Resampling.NEAREST)


@hookimpl
def register_upscalers(host):
    return [UpscalerSpec(name="frozen-doubler", title="Pixels as they are", build=lambda device: Doubler())]


class Corners:
    def remove(self, image):
        from PIL import Image, ImageChops

        cut = image.convert("RGBA")
        picture = image.convert("RGB")
        plain = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
        far = ImageChops.difference(picture, plain).convert("L").point(lambda value: 255 if value > 24 else 0)
        cut.putalpha(ImageChops.darker(far, cut.getchannel("A")))  # what was clear stays clear
        return cut


@hookimpl
def register_background_removers(host):
    return [BackgroundRemoverSpec(name="frozen-corners", build=lambda device: Corners())]


class Eager:
    """An engine that calls the network's own module."""

    def __init__(self, module, names):
        self._module = module
        self._names = names

    def __call__(self, inputs):
        import torch

        with torch.no_grad():
            return tuple(self._module(*(inputs[name] for name in self._names)))

    def close(self):
        self._module = None


class Compiler:
    """Writes down what it was given, and compiles nothing."""

    def version(self):
        return "frozen 1.0"

    def target(self, device):
        return device

    def targets(self):
        return ("cpu",)

    def flags(self):
        return ("eager",)

    def build(self, network, profile, target, out, report):
        if target not in self.targets():
            raise EngineBuildError(f"the {network.component} cannot be built for '{target}'; this builds for cpu")
        for place, port in enumerate(network.inputs, 1):
            report(f"look at {port.name}", place / len(network.inputs))
        given = network.sample({axis: span.opt for axis, span in profile.items()}, seed=1)
        lines = [f"{name} {tuple(value.shape)}" for name, value in given.items()]
        (out / "engine.txt").write_text("\n".join([network.component, network.precision, *lines]), encoding="utf-8")

    def unable(self, target, device):
        return None if target == device else f"it is built for {target}"

    def open(self, engine, network, profile, device):
        try:
            component = (Path(engine) / "engine.txt").read_text(encoding="utf-8").splitlines()[0]
        except (OSError, IndexError, UnicodeDecodeError) as error:
            raise EngineOpenError(f"the engine in {engine} cannot be opened: {error}") from error
        if component != network.component:
            raise EngineOpenError(f"the engine in {engine} is of the {component}, not of the {network.component}")
        return Eager(network.module(), [port.name for port in network.inputs])


@hookimpl
def register_compilers(host):
    return [
        CompilerSpec(
            name="frozen-eager",
            title="Compiles nothing",
            build=Compiler,
            components=(Component.UNET,),
            precisions=(Precision.FLOAT32,),
            profiled="static",
            missing=lambda: None,
        )
    ]


# what is told and wrapped


def _write(host, line):
    diary = host.plugin_settings(NAME, Settings).diary
    if diary:
        with Path(diary).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class _Told:
    host = None


@hookimpl
def host_started(host):
    _Told.host = host
    _write(host, f"started {host.version} with {len(host.offers('models'))} models")


@hookimpl(wrapper=True)
def build_plan(request, host):
    plan = yield
    limit = host.plugin_parameters(NAME, Parameters, request).steps
    nodes = tuple(replace(node, num_inference_steps=min(node.num_inference_steps, limit)) for node in plan.nodes)
    return plan if nodes == plan.nodes else replace(plan, nodes=nodes).with_note(f"frozen_v1: at most {limit} steps")


@hookimpl(wrapper=True)
def run_step(step, frame, bench):
    made = yield
    colour = bench.host.plugin_parameters(NAME, Parameters, bench.plan).corner
    if colour == "none" or len(bench.ahead) != 1 or not isinstance(bench.ahead[0], Save):
        return made
    images = []
    for image in made.images:
        marked = image.copy()
        marked.paste(colour, (0, 0, 8, 8))
        images.append(marked)
    bench.note(f"frozen_v1: a {colour} corner, seen in {type(step).__name__} on {bench.device}")
    return replace(made, images=tuple(images))


@hookimpl
def observe(event):
    if _Told.host is not None and isinstance(event, Event):
        more = f" {len(event.images)} {'; '.join(event.notes)}" if isinstance(event, Finished) else ""
        _write(_Told.host, f"{type(event).__name__} {event.job}{more}")


@hookimpl
def host_stopping(host):
    _write(host, "stopped")
    _Told.host = None
