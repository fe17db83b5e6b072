"""Any length through a network of fixed length: overlapping segments, crossfaded, in a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from unbraid.errors import ConfigError

SEGMENT = 8.0  # seconds, unless someone wants another length
LONGEST = 3600.0  # seconds; shorter songs are padded to a segment, in memory

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


def segment_samples(config: Any, seconds: float | None = None) -> int:
    """Length of a segment in samples: whole hops, so that frames of overlapping ones coincide.

    Args:
        config: of the network; the `segment` of an exported one is the only length it takes.
        seconds: length that is wanted; by default what the network takes, or `SEGMENT`.

    Raises:
        ConfigError: if the length is not positive or above `LONGEST`, or the network takes another.
    """
    fixed: int | None = getattr(config, "segment", None)
    if seconds is None and fixed is not None:
        return fixed
    seconds = SEGMENT if seconds is None else seconds
    if not 0 < seconds <= LONGEST:
        raise ConfigError(
            f"segment {seconds}: give a positive number of seconds, {LONGEST:g} at most"
        )
    hop: int = getattr(config, "hop", 1)
    samples = max(2, round(seconds * config.sample_rate / hop)) * hop
    if fixed not in (None, samples):
        raise ConfigError(
            f"segment {seconds}: the network was exported for {fixed / config.sample_rate:.3f} s; "
            f"leave it out, or export again with --segment {seconds}"
        )
    return samples


def grid_of(network: Any) -> int:
    """Samples by which what is moved comes out of a network the same, moved alike.

    That is its hop, or its `grid`, if it has one, as convolutions with strides do.
    """
    grid: int = getattr(network, "grid", getattr(network.config, "hop", 1))
    return grid


def fade_samples(network: Any, segment: int, overlap: float) -> int:
    """Length of the crossfade of neighbouring segments in samples.

    Whole hops. If it can be, the length nearest to what is asked for that has segments start on the
    grid, unless that is less than half of it, which would be heard: then the next longer one.

    Args:
        network: the network.
        segment: length of a segment in samples.
        overlap: part of it that it should share with the next, from 0 to 0.5.
    """
    hop: int = getattr(network.config, "hop", 1)
    grid = grid_of(network)
    asked = int(overlap * segment / hop) * hop
    if asked == 0:
        return 0
    step = round((segment - asked) / grid) * grid
    if segment - step < asked / 2:
        step = (segment - asked) // grid * grid
    return segment - step if 2 * step >= segment else asked


def crossfaded(
    blocks: Iterable[Tensor],
    process: Callable[[Tensor], Sequence[Tensor]],
    segment: int,
    fade: int,
    batch_size: int,
    run: Map = map,
) -> Iterator[tuple[Tensor, ...]]:
    """Process a stream segment by segment; neighbours overlap by `fade` samples.

    Holds `batch_size` segments at a time, whatever the length of the stream, or as many of such
    batches as `run` takes. The fades of two neighbours add up to one; the stream's first and last
    sample are not faded.

    Args:
        blocks: `[channels, samples]` of any lengths.
        process: maps `[b, channels, segment]` to results `[b, ..., segment / n]`, of each of which
            a value stands for `n` samples.
        segment: length of a segment in samples.
        fade: length of the crossfade in samples, at most half a segment; like the segment a
            multiple of each `n`.
        batch_size: segments to process at a time.
        run: what applies `process` to the batches, in order.

    Yields:
        Blocks `[..., samples / n]` of each result; those of all samples have the input's length.
    """
    step = segment - fade
    joining: list[_Joining] = []

    def apply(item: tuple[Tensor, int, bool]) -> tuple[Sequence[Tensor], int, bool]:
        batch, length, last = item
        return process(batch), length, last

    for results, length, last in run(apply, _batches(blocks, segment, step, batch_size)):
        joining = joining or [_Joining(segment, fade, result.shape[-1]) for result in results]
        for number, processed in enumerate(zip(*results, strict=True)):
            ends = last and number == len(results[0]) - 1
            final = length - number * step if ends else step
            yield tuple(
                each.join(part, final) for each, part in zip(joining, processed, strict=True)
            )


class _Joining:
    """Joins the segments of one result.

    Args:
        segment: its length in samples.
        fade: length of the crossfade in samples.
        values: of a segment's result.
    """

    def __init__(self, segment: int, fade: int, values: int) -> None:
        self._each = segment // values
        self._step = (segment - fade) // self._each
        # in main memory, as results are, wherever a program has its own tensors
        places = torch.arange(fade, dtype=torch.float32, device="cpu")
        places = (places + 0.5) / max(1, fade)
        fade_in = torch.sin(places * torch.pi / 2) ** 2
        self._fade_in = fade_in.reshape(fade // self._each, self._each).mean(1)
        self._overhang: Tensor | None = None

    def join(self, processed: Tensor, final: int) -> Tensor:
        """What is final of a segment `[..., values]`: that of so many samples."""
        fade = len(self._fade_in)
        if self._overhang is not None:
            joint = self._overhang + processed[..., :fade] * self._fade_in
            processed = torch.cat([joint, processed[..., fade:]], -1)
        self._overhang = processed[..., self._step :] * (1 - self._fade_in)
        return processed[..., : -(-final // self._each)]


def _batches(
    blocks: Iterable[Tensor], segment: int, step: int, batch_size: int
) -> Iterator[tuple[Tensor, int, bool]]:
    """Batches of segments, the length of the stream from each batch's start, whether it ends."""
    full = segment + (batch_size - 1) * step
    source = iter(blocks)
    parts: list[Tensor] = []
    held, ended = 0, False
    while not ended:
        while held <= full:  # one sample beyond a full batch tells that it isn't the last
            block = next(source, None)
            if block is None:
                ended = True
                break
            parts.append(block)
            held += block.shape[-1]
        if held == 0:
            return
        waiting = torch.cat(parts, -1)
        while held > full or ended:
            last = held <= full
            count = -(-max(held - segment, 0) // step) + 1 if last else batch_size
            span = segment + (count - 1) * step
            padded = torch.nn.functional.pad(waiting[:, :span], (0, max(0, span - held)))
            yield padded.unfold(-1, segment, step).transpose(0, 1).contiguous(), held, last
            if last:
                return
            waiting = waiting[:, batch_size * step :]
            held = waiting.shape[-1]
        parts = [waiting]
