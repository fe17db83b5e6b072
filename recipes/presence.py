"""A gate for a U-Net, new if it has one: what it knows already tells where nobody sings.

    python recipes/presence.py mean.safetensors unet-hard gated.safetensors

Random mixtures of a configuration, each as it is and without its voice, go through the layers
downwards; from what the three deepest of these give, recurrent networks learn to tell cells with a
voice from cells without (a missed voice costs five times a false one). The rest of the weights
stays as it is. A mixture takes one megabyte of memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader
from tqdm import tqdm

from unbraid.data.mixing import Mixtures, held_out
from unbraid.models import build, checkpoint, find
from unbraid.models.presence import LAYERS, Evidence, Gate
from unbraid.models.spleeter import Spleeter
from unbraid.spectrogram import centred_stft
from unbraid.training.config import read_config

WIDTH = 24
CELLS = 8  # of a mixture, 12 seconds
SILENT = 0.2  # part of the mixtures that are drawn without a voice or without music
SUNG, UNSUNG = -25.0, -50.0  # dB of the voice in the mixture; cells between are not taught
AUDIBLE = -65.0  # dBFS of a cell that is taught
MISSED = 5.0  # cost of a voice that is not heard, in false voices
BATCH, PASSES, RATE, DECAY = 32, 13, 2e-3, 0.05
JOINED = 0.35  # part of the batches in which several mixtures are a song
PIECES = (2, 4)  # mixtures of such a song
WITH = 0.6  # part of such songs with a voice
CUT = 0.4  # part of the mixtures that begin or end with silence
SOME = 400  # mixtures that tell the means and deviations of a layer's channels
CLOSED, OPEN = -2.0, 0.0  # log odds of a voice at which the gate is shut, and at which it is open


def main() -> None:
    """Learn the gate, and write the network with it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or weight file")
    parser.add_argument("config", type=Path, help="YAML of a training run; its data are taken")
    parser.add_argument("out", type=Path, help=".safetensors to write")
    parser.add_argument("--mixtures", type=int, default=5400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    info = checkpoint.read_info(find(options.model))
    before = checkpoint.load(info.path)
    if info.architecture != "spleeter" or len(before.networks) != 1:
        parser.error(f"{options.model}: give a spleeter of one network (ratio: false, one target)")
    torch.manual_seed(options.seed)
    gated = build(info.architecture, **{**asdict(before.config), "presence": WIDTH})
    ungated = build(info.architecture, **{**asdict(before.config), "presence": 0})
    ungated.load_state_dict(before.state_dict(), strict=False)
    gated.load_state_dict(ungated.state_dict(), strict=False)
    heard, voice, mixture = listen(gated.eval(), options.config, options.mixtures, options.seed)
    silence = layers_of(gated, torch.zeros(1, 2, CELLS * gated.grid))
    learn(gated.networks[0].evidence, gated.gates[0], heard, silence, voice, mixture)
    checkpoint.save(
        gated,
        options.out,
        architecture=info.architecture,
        licence=info.licence,
        data=f"{info.data}; gate of {options.mixtures} mixtures of the same",
        dtype=torch.float16,
    )


@torch.inference_mode()
def listen(
    network: Spleeter, path: Path, number: int, seed: int
) -> tuple[list[Tensor], Tensor, Tensor]:
    """What the deepest layers make of mixtures; every second is the one before without its voice.

    Returns:
        Each layer's `[number, channels, cells, rows]`, and dBFS of the voice and of the mixture,
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
    heard: list[Tensor] = []
    voice, mixture = torch.empty(number, CELLS), torch.empty(number, CELLS)
    drawn = chain.from_iterable(map(with_and_without, DataLoader(mixtures, num_workers=1)))
    for index, (audio, target) in enumerate(tqdm(islice(drawn, number), total=number)):
        layers = layers_of(network, audio)
        heard = heard or [layer.new_empty(number, *layer.shape[1:]).half() for layer in layers]
        for layer, made in zip(heard, layers, strict=True):
            layer[index] = made[0]
        voice[index] = decibels(target, network.grid)[0]
        mixture[index] = decibels(audio, network.grid)[0]
    return heard, voice, mixture


@torch.inference_mode()
def layers_of(network: Spleeter, audio: Tensor) -> list[Tensor]:
    """What the deepest layers make of audio `[b, 2, samples]`."""
    spectrum = centred_stft(audio, network.config.n_fft, network.config.hop)
    frames = audio.shape[-1] // network.config.hop  # without the one that ends after the end
    layers: list[Tensor] = network.networks[0].layers(
        network.heard(spectrum[..., :frames], network.config.hop)
    )
    return layers[-LAYERS:]


def with_and_without(drawn: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """A mixture and its voice, and what is left of it with a voice of zeros."""
    audio, target = drawn["mixture"], drawn["targets"][:, 0]
    return [(audio, target), (audio - target, torch.zeros_like(target))]


def decibels(audio: Tensor, cell: int) -> Tensor:
    """dBFS of each cell of audio `[b, 2, samples]`: `[b, cells]`."""
    return 10 * torch.log10(audio.unfold(2, cell, cell).square().mean((1, 3)) + 1e-12)


def learn(
    evidence: Evidence,
    gate: Gate,
    heard: Sequence[Tensor],
    silence: Sequence[Tensor],
    voice: Tensor,
    mixture: Tensor,
) -> None:
    """Train the gate on what the deepest layers say.

    Args:
        evidence: the network over frequencies.
        gate: the network over cells.
        heard: each layer's `[number, channels, cells, rows]`.
        silence: the same of one mixture of zeros.
        voice: dBFS of the voice, `[number, cells]`.
        mixture: the same of the mixture.
    """
    audible, share = mixture > AUDIBLE, voice - mixture
    sung = (share > SUNG).float()
    cost = audible * (MISSED * sung + (share < UNSUNG))
    means = [layer[:SOME].float().mean((0, 2, 3))[:, None, None] for layer in heard]
    deviations = [layer[:SOME].float().std((0, 2, 3))[:, None, None] for layer in heard]
    gate.score.reset_parameters()  # untaught, gates are open
    both = torch.nn.ModuleList([evidence, gate]).requires_grad_().train()
    optimizer = torch.optim.AdamW(both.parameters(), RATE, weight_decay=DECAY)
    steps = PASSES * len(voice) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for _ in tqdm(range(steps)):
        songs = drawn(sung.any(1))
        sounding = kept(len(songs), songs.shape[1] * voice.shape[1])
        inputs = []
        for layer, zeros, mean, deviation in zip(heard, silence, means, deviations, strict=True):
            pieces = layer[songs].float().transpose(1, 2).flatten(2, 3)  # [songs, channels, t, f]
            places = sounding.repeat_interleave(pieces.shape[2] // sounding.shape[1], 1)
            middle = zeros[:, :, zeros.shape[2] // 2].unsqueeze(2).float()
            pieces = torch.where(places[:, None, :, None], pieces, middle)
            inputs.append((pieces - mean) / deviation)
        logits, costs = gate(evidence(inputs)), cost[songs].flatten(1) * sounding
        goal = sung[songs].flatten(1)
        loss = functional.binary_cross_entropy_with_logits(logits, goal, costs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    both.requires_grad_(False).eval()
    with torch.no_grad():  # what is done to its inputs and its output becomes part of its weights
        for layer, mean, deviation in zip(evidence.layers, means, deviations, strict=True):
            layer.weight /= deviation
            layer.bias -= (layer.weight * mean).sum((1, 2, 3))
        gate.score.weight /= OPEN - CLOSED
        gate.score.bias.sub_(CLOSED).div_(OPEN - CLOSED)


def drawn(sung: Tensor) -> Tensor:
    """A batch: numbers of the mixtures that each of its songs is made of, `[songs, pieces]`.

    Many are a single mixture; others are several, all with a voice or all without one, as a song
    or an instrumental is throughout.

    Args:
        sung: whether there is a voice in each mixture.
    """
    if torch.rand(()) >= JOINED:
        return torch.randint(len(sung), (BATCH, 1))
    pieces = PIECES[int(torch.randint(len(PIECES), ()))]
    songs = []
    for _ in range(BATCH // pieces):
        kind = sung == (torch.rand(()) < WITH)
        like = (kind if kind.any() else ~kind).nonzero()[:, 0]
        songs.append(like[torch.randint(len(like), (pieces,))])
    return torch.stack(songs)


def kept(songs: int, cells: int) -> Tensor:
    """What is left of songs, `[songs, cells]`: some begin or end with silence.

    So does the last segment of a song, of which a gate must not think that nobody sings.
    """
    cell, place = torch.arange(cells), torch.randint(1, cells, (songs, 1))
    part = torch.where(torch.rand(songs, 1) < 0.5, cell < place, cell >= place)
    return part | (torch.rand(songs, 1) >= CUT)


if __name__ == "__main__":
    main()
