"""A gate for a U-Net that has none: what it knows already tells where nobody sings.

    python recipes/presence.py mean.safetensors unet unet.safetensors

Random mixtures of a configuration, a quarter of them without a voice and a quarter without music,
go through the layers downwards; on what comes out of the last one a small network learns to tell
cells with a voice from cells without (a missed voice costs five times a false one). The rest of the
weights stays as it is.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from unbraid.data.mixing import Mixtures, held_out
from unbraid.models import build, checkpoint, find
from unbraid.models.presence import Presence
from unbraid.models.spleeter import Spleeter
from unbraid.spectrogram import centred_stft
from unbraid.training.config import read_config

WIDTH = 32
CELLS = 8  # of a mixture, 12 seconds
SILENT = 0.5  # part of the mixtures without a voice or without music
SUNG, UNSUNG = -25.0, -50.0  # dB of the voice in the mixture; cells between are not taught
AUDIBLE = -65.0  # dBFS of a cell that is taught
MISSED = 5.0  # cost of a voice that is not heard, in false voices
BATCH, PASSES, RATE, DECAY = 64, 12, 3e-3, 0.05
CLOSED, OPEN = -1.0, 1.0  # log odds of a voice at which the gate is shut, and at which it is open


def main() -> None:
    """Learn the gate, and write the network with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or weight file")
    parser.add_argument("config", type=Path, help="YAML of a training run; its data are taken")
    parser.add_argument("out", type=Path, help=".safetensors to write")
    parser.add_argument("--mixtures", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    info = checkpoint.read_info(find(options.model))
    before = checkpoint.load(info.path)
    if info.architecture != "spleeter" or len(before.networks) != 1:
        parser.error(f"{options.model}: give a spleeter of one network (ratio: false, one target)")
    gated = build(info.architecture, **{**asdict(before.config), "presence": WIDTH})
    gated.load_state_dict(before.state_dict(), strict=False)
    heard, voice, mixture = listen(gated.eval(), options.config, options.mixtures, options.seed)
    learn(gated.networks[0].presence, heard, voice, mixture)
    checkpoint.save(
        gated,
        options.out,
        architecture=info.architecture,
        licence=info.licence,
        data=f"{info.data}; gate of {options.mixtures} mixtures of the same",
        dtype=torch.float16,
    )


@torch.inference_mode()
def listen(network: Spleeter, path: Path, number: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the deepest layer makes of mixtures.

    Returns:
        `[number, channels, cells, rows]`, and dBFS of the voice and of the mixture,
        `[number, cells]` each.
    """
    data = read_config(path).data
    data = replace(data, augment=replace(data.augment, silent=SILENT))
    config = network.config
    mixtures = Mixtures(
        replace(data, seconds=(CELLS * network.grid + 0.5) / config.sample_rate),
        config.targets,
        config.residual,
        config.sample_rate,
        (seed,),
        held_out(data),
    )
    heard, voice, mixture = [], [], []
    for drawn in tqdm(islice(DataLoader(mixtures, num_workers=1), number), total=number):
        audio, target = drawn["mixture"], drawn["targets"][:, 0]
        spectrum = centred_stft(audio, config.n_fft, config.hop)
        frames = audio.shape[-1] // config.hop  # without the one that ends after the end
        deepest = network.networks[0].layers(network.heard(spectrum[..., :frames]))[-1]
        heard.append(deepest.half())
        voice.append(decibels(target, network.grid))
        mixture.append(decibels(audio, network.grid))
    return torch.cat(heard), torch.cat(voice), torch.cat(mixture)


def decibels(audio: Tensor, cell: int) -> Tensor:
    """dBFS of each cell of audio `[b, 2, samples]`: `[b, cells]`."""
    return 10 * torch.log10(audio.unfold(2, cell, cell).square().mean((1, 3)) + 1e-12)


def learn(presence: Presence, heard: Tensor, voice: Tensor, mixture: Tensor) -> None:
    """Train the gate on what the deepest layer says."""
    audible, share = mixture > AUDIBLE, voice - mixture
    sung = (share > SUNG).float()
    cost = audible * (MISSED * sung + (share < UNSUNG))
    some = heard[:500].float()
    mean, deviation = some.mean((0, 2, 3)), some.std((0, 2, 3))
    steps = PASSES * len(heard) // BATCH
    torch.nn.init.ones_(presence.score.bias)  # a mild guess; untaught, gates are sure
    optimizer = torch.optim.AdamW(presence.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    presence.train()
    for _ in tqdm(range(steps)):
        batch = torch.randint(len(heard), (BATCH,))
        inputs = (heard[batch].float() - mean[:, None, None]) / deviation[:, None, None]
        logits = presence.scores(inputs)[:, 0]
        loss = functional.binary_cross_entropy_with_logits(logits, sung[batch], cost[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    presence.eval()
    with torch.no_grad():  # what is done to its input and its output becomes part of its weights
        presence.row.weight /= deviation
        presence.row.bias -= presence.row.weight @ mean
        presence.score.weight /= OPEN - CLOSED
        presence.score.bias.sub_(CLOSED).div_(OPEN - CLOSED)


if __name__ == "__main__":
    main()
