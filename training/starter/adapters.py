"""Small adapters of the starter model: an outline LoRA, a pastel LoHa and a learnt word."""

import random
from pathlib import Path
from typing import Final

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoHaConfig, LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from training.starter.captions import write_caption
from training.starter.denoiser import add_noise, spread_times, weighted_loss
from training.starter.drawing import Style, draw_scenes
from training.starter.learner import Learner, Plan, Run
from training.starter.patron import Patron, draw_scenes_for, encode_pictures, read_texts, sometimes_untold
from training.starter.text import tokenize
from training.starter.world import Figure, Mixture, Scene

BATCH: Final = 32
SCENES: Final = 600
LAYERS: Final = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2"]
LORA_RANK: Final = 8
LOHA_RANK: Final = 4
WORD: Final = "<zog>"  # a purple star on yellow
WORD_FILE: Final = "learned_embeds.safetensors"
LOHA_FILE: Final = "pastel.safetensors"


class WordVector(nn.Module):
    """The one vector a textual inversion learns."""

    def __init__(self, start: Tensor) -> None:
        """Begin at a known word's vector."""
        super().__init__()
        self.vector = nn.Parameter(start.detach().clone())


def train_lora(run: Run, patron: Patron, folder: Path, steps: int) -> bool:
    """A LoRA after which figures are outlines."""
    config = LoraConfig(
        r=LORA_RANK, lora_alpha=LORA_RANK, init_lora_weights="gaussian", target_modules=LAYERS
    )
    torch.manual_seed(21)
    patron.unet.add_adapter(config)
    scenes = draw_scenes_for(patron, SCENES, 21, Mixture())
    pictures = _draw(patron, scenes, outlined=True)
    learner = _learn_style(
        run, patron, Plan(name="lora", steps=steps, rate=2e-3, warm_up=20), scenes, pictures
    )
    if learner.finished:
        patron.unet.load_state_dict(learner.averages["unet"].state_dict())
        layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(patron.unet))
        layers = {name: value.half() for name, value in layers.items()}
        StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers, safe_serialization=True)
    return learner.finished


def train_loha(run: Run, patron: Patron, folder: Path, steps: int) -> bool:
    """A LoHa after which colours are pastel; written with LyCORIS's names."""
    config = LoHaConfig(r=LOHA_RANK, alpha=LOHA_RANK, target_modules=LAYERS, init_weights=True)
    torch.manual_seed(22)
    inject_adapter_in_model(config, patron.unet)
    scenes = draw_scenes_for(patron, SCENES, 22, Mixture())
    pictures = _draw(patron, scenes, outlined=False) * 0.5 + 0.5
    learner = _learn_style(
        run, patron, Plan(name="loha", steps=steps, rate=2e-3, warm_up=20), scenes, pictures
    )
    if learner.finished:
        patron.unet.load_state_dict(learner.averages["unet"].state_dict())
        folder.mkdir(parents=True, exist_ok=True)
        save_file(_name_for_lycoris(get_peft_model_state_dict(patron.unet)), folder / LOHA_FILE)
    return learner.finished


def train_word(run: Run, patron: Patron, folder: Path, steps: int) -> bool:
    """A word that stands for one look, as a textual inversion."""
    rng = random.Random(23)
    scenes = [_zog(rng) for _ in range(64)]
    latents = encode_pictures(patron, draw_scenes(scenes, patron.sprites, rng))
    known = patron.tokenizer.convert_tokens_to_ids("shape</w>")
    table = patron.encoder.get_input_embeddings()
    word = WordVector(table.weight[known])
    # The word's own id is not in the table: a spare id stands in its place while it is learnt.
    spare = patron.tokenizer.convert_tokens_to_ids("lorem</w>")
    ids = tokenize(patron.tokenizer, ["a lorem", "lorem", "a picture of a lorem"]).to(patron.device)

    def put(_: nn.Module, arguments: tuple[Tensor], found: Tensor) -> Tensor:
        return torch.where((arguments[0] == spare)[..., None], word.vector, found)

    learner = Learner(
        run, Plan(name="word", steps=steps, rate=2e-2, warm_up=20, ema=0.97), {"word": word}, {}
    )
    hook = table.register_forward_hook(put)
    try:
        for _ in learner.steps():
            rows = torch.tensor([learner.rng.randrange(len(scenes)) for _ in range(BATCH)])
            chosen = ids[torch.tensor([learner.rng.randrange(len(ids)) for _ in range(BATCH)])]
            hidden = patron.encoder(chosen).last_hidden_state
            _noise_step(learner, patron, latents[rows], hidden)
    finally:
        hook.remove()
    if learner.finished:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({WORD: learner.averages["word"].state_dict()["vector"].half()}, folder / WORD_FILE)
    return learner.finished


def _zog(rng: random.Random) -> Scene:
    x, y = (0.5 + rng.uniform(-0.1, 0.1) for _ in range(2))
    star = Figure(kind="star", colour="purple", x=x, y=y, radius=rng.uniform(0.21, 0.27))
    return Scene(ground="yellow", figures=(star,))


def _draw(patron: Patron, scenes: list[Scene], *, outlined: bool) -> Tensor:
    style: Style = "outline" if outlined else "filled"
    return torch.cat(
        [draw_scenes(scenes[i : i + 50], patron.sprites, None, style) for i in range(0, len(scenes), 50)]
    )


def _learn_style(run: Run, patron: Patron, plan: Plan, scenes: list[Scene], pictures: Tensor) -> Learner:
    """Teach the adapters in the UNet what the pictures look like under their plain captions."""
    latents = encode_pictures(patron, pictures)
    learner = Learner(run, plan, {"unet": patron.unet}, {})
    for _ in learner.steps():
        rows = [learner.rng.randrange(len(scenes)) for _ in range(BATCH)]
        texts = sometimes_untold([write_caption(scenes[row], learner.rng).text for row in rows], learner.rng)
        hidden = read_texts(patron, texts)
        _noise_step(learner, patron, latents[torch.tensor(rows)], hidden)
    return learner


def _noise_step(learner: Learner, patron: Patron, latents: Tensor, hidden: Tensor) -> None:
    times = spread_times(len(latents)).to(patron.device)
    noisy, noise = add_noise(latents, times, patron.alphas)
    with torch.autocast(patron.device.type, torch.bfloat16, enabled=learner.run.half):
        predicted = patron.unet(noisy, times, hidden).sample
    learner.update(weighted_loss(predicted.float(), noise, times, patron.alphas))


def _name_for_lycoris(layers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Peft's names `down_blocks.1...to_q.hada_w1_a` as `lora_unet_down_blocks_1_..._to_q.hada_w1_a`, with alphas."""
    named: dict[str, Tensor] = {}
    for name, value in layers.items():
        layer, _, factor = name.removeprefix("base_model.model.").rpartition(".")
        key = "lora_unet_" + layer.replace(".", "_")
        named[f"{key}.{factor}"] = value.half().contiguous()
        named[f"{key}.alpha"] = torch.tensor(float(LOHA_RANK)).half()
    return named
