"""Over a song: until somebody has surely sung, what sounds like a voice is taken for an instrument.

A network that tells how sure it is sees a few seconds, in which a lead or a choir of strings may
pass for a singer. Few songs have a voice that is never certain, and few instrumentals a lead that
once is; so a stem opens with its first certain sound, and what lies shortly before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

ENOUGH = 10.0  # seconds of a song that tell whether a stem is missing; shorter ones pass
AHEAD = 30.0  # seconds before its first certain sound at which a stem begins to be heard


def opened(blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
    """Silence each stem until it is certain; then let it pass to the end of the song as it is.

    Holds no more than `AHEAD` seconds and a block, and nothing once all stems are certain.

    Args:
        blocks: `[targets, 3, samples]` of any lengths, audio and certainty from 0 to 1; with two
            channels, audio alone, they pass.
        sample_rate: Hz.

    Yields:
        Audio `[targets, 2, samples]`: what is certain by half is heard by half.
    """
    held: deque[Tensor] = deque()
    sure: Tensor | None = None  # [targets], of all that came
    gain: Tensor | None = None  # [targets], at the end of what went
    came = went = 0  # samples
    for block in _shortened(blocks, sample_rate):
        audio, certainty = block[:, :2], block[:, 2:]
        if not certainty.shape[1]:
            yield audio
            continue
        found = certainty.amax((1, 2))
        sure = found if sure is None else sure.maximum(found)
        held.append(audio)
        came += audio.shape[-1]
        while held and (sure.min() >= 1 or came - went - held[0].shape[-1] >= AHEAD * sample_rate):
            audio = held.popleft()
            went += audio.shape[-1]
            yield _ramped(audio, sure if gain is None else gain, sure)
            gain = sure
    if sure is not None and came < ENOUGH * sample_rate:
        sure = torch.ones_like(sure)
    while held and sure is not None:
        yield _ramped(held.popleft(), sure if gain is None else gain, sure)
        gain = sure


def _shortened(blocks: Iterable[Tensor], sample_rate: int) -> Iterator[Tensor]:
    """Blocks of less than two seconds, so that gains change as quickly whatever segments last."""
    for block in blocks:
        yield from block.tensor_split(max(1, block.shape[-1] // sample_rate), -1)


def _ramped(audio: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Audio `[targets, 2, samples]`, its gain going evenly from one to another, `[targets]`."""
    if bool((start == 1).all()):
        return audio
    places = torch.linspace(0, 1, audio.shape[-1])
    return audio * (start[:, None] + (end - start)[:, None] * places).unsqueeze(1)
