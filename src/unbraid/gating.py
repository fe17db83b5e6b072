"""Over a song: a stem is heard where a network that knows the rest of the song finds it at all.

A network of segments sees a few seconds, in which a lead or a choir of strings may pass for a
singer. So it tells what it has found, cell by cell, and `unbraid.models.presence` decides.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from unbraid.models.presence import Gate

AHEAD = 20  # cells that are heard before one is decided on: half a minute of the default's
AROUND = 2  # neighbours to each side whose scores move a cell's gate


def gated(
    blocks: Iterable[tuple[Tensor, ...]], gates: Sequence[Gate], cell: int, hop: int
) -> Iterator[Tensor]:
    """Silence each stem where it is surely absent.

    A cell is as open as its most open neighbour, for the first consonant of a phrase may lie in
    the cell before; from the middle of a cell to the next, gates open and close evenly. Holds
    `AHEAD + AROUND` cells and a block.

    Args:
        blocks: audio `[targets, 2, samples]` of any lengths, the last alone not whole frames, and
            evidence `[targets, FEATURES, frames]` of each.
        gates: one for each target.
        cell: its length in samples.
        hop: that of a frame.

    Yields:
        Audio `[targets, 2, samples]`, cell by cell.
    """
    for audio, scores in _with_neighbours(_scored(_cells(blocks, cell, hop), gates)):
        most = scores.clamp(0, 1).unfold(1, 3, 1).amax(2)  # of the cell and one to each side
        if most.min() < 1:  # mostly there is nothing to do
            gain = functional.interpolate(most[:, None], size=3 * cell, mode="linear")
            audio = audio * gain[..., cell : cell + audio.shape[-1]]
        yield audio


def _cells(
    blocks: Iterable[tuple[Tensor, ...]], cell: int, hop: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same samples and evidence, a cell at a time; the last may be shorter."""
    waiting: list[tuple[Tensor, ...]] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += block[0].shape[-1]
        if held > cell:
            *whole, rest = _split(waiting, cell, hop)
            yield from whole
            waiting, held = [rest], rest[0].shape[-1]
    if held:
        yield from _split(waiting, cell, hop)


def _split(
    blocks: Sequence[tuple[Tensor, ...]], cell: int, hop: int
) -> Iterator[tuple[Tensor, Tensor]]:
    audio, evidence = (torch.cat(parts, -1) for parts in zip(*blocks, strict=True))
    return zip(audio.split(cell, -1), evidence.split(cell // hop, -1), strict=True)


def _scored(
    cells: Iterable[tuple[Tensor, Tensor]], gates: Sequence[Gate]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Audio of each cell and its scores `[targets]`, once `AHEAD` more have come."""
    deciding = [_Deciding(gate) for gate in gates]
    sounds: deque[Tensor] = deque()

    def first() -> tuple[Tensor, Tensor]:
        return sounds.popleft(), torch.cat([each.score() for each in deciding])

    for audio, evidence in cells:
        sounds.append(audio)
        for each, told in zip(deciding, evidence.mean(2), strict=True):
            each.hear(told)
        if len(sounds) > AHEAD:
            yield first()
    while sounds:
        yield first()


class _Deciding:
    """A gate on its way through a song.

    Args:
        gate: that of a stem.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._past: Tensor | None = None
        self._waiting: deque[tuple[Tensor, Tensor]] = deque()

    @torch.inference_mode()
    def hear(self, evidence: Tensor) -> None:
        """Take the next cell's evidence, `[FEATURES]`."""
        self._past = self._gate.remembered(evidence, self._past)
        self._waiting.append((evidence, self._past))

    @torch.inference_mode()
    def score(self) -> Tensor:
        """Of the first cell that waits, `[1]`."""
        evidence = torch.stack([told for told, _ in self._waiting])
        _, past = self._waiting.popleft()
        return self._gate.scored(past, evidence)


def _with_neighbours(cells: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Audio of each cell, and the scores around it, `[targets, 2 AROUND + 1]`.

    Beyond the song's ends they are as at its ends.
    """
    sounds: deque[Tensor] = deque()
    scores: deque[Tensor] = deque(maxlen=2 * AROUND + 1)
    for audio, score in cells:
        scores.extend([score] if scores else [score] * (AROUND + 1))
        sounds.append(audio)
        if len(scores) == scores.maxlen:
            yield sounds.popleft(), torch.stack([*scores], 1)
    while sounds:
        scores.append(scores[-1])
        if len(scores) == scores.maxlen:
            yield sounds.popleft(), torch.stack([*scores], 1)
