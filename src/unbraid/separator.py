"""The one way to separate: arrays or files of any length, rate and number of channels."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any, Generic, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unbraid import notices
from unbraid.arrays import Array, checked, like
from unbraid.audio import AudioReader, AudioWriter, Resampler, quantize
from unbraid.audio.info import LOSSY_FORMATS, Block
from unbraid.audio.resample import check_rate
from unbraid.errors import ConfigError
from unbraid.gating import gated
from unbraid.models import DEFAULT, checkpoint, find
from unbraid.models.onnx import OnnxNetwork
from unbraid.naming import check_output, check_stems, forms_of
from unbraid.overlap import crossfaded, fade_samples, grid_of, segment_samples
from unbraid.runner import Runner
from unbraid.streams import (
    Floating,
    floating,
    keeping,
    pieces,
    read,
    resampled,
    slices,
    with_progress,
)

Progress = Callable[[float], object]


class Separation(dict[str, Array], Generic[Array]):
    """Stems by name, each of the mixture's shape; they sum to the mixture.

    Attributes:
        sample_rate: Hz.
    """

    def __init__(self, stems: dict[str, Array], sample_rate: int) -> None:
        super().__init__(stems)
        self.sample_rate = sample_rate


class Separator:
    """Separates songs with a network, in constant memory.

    The song is cut into overlapping segments, which are separated and crossfaded. Where a stem
    is silent, the gates of a network that has any decide by the song so far and half a minute
    ahead. The residual stem is the mixture less the others, so that all stems sum to the mixture.

    Args:
        model: a network of `unbraid.models`, exported or not.
        device: `cpu`, `cuda`, `mps`, or `auto` for the best at hand; or one of torch.
        segment: length of a segment in seconds; 8 by default, or what an exported network takes.
        overlap: part of a segment that it shares with the next, from 0 to 0.5. A network with
            a grid rounds it, to half as much at least; of 8 s it keeps a quarter.
        batch_size: segments that the network gets at a time; by default what suits the device.
        wiener: iterations of the filter of `unbraid.wiener` that each segment's stems go through.
        precision: `float32`, `bfloat16`, or `auto` for what the device does faster.

    Attributes:
        model: the network, on the device.
        stems: names of what it makes of a mixture, the residual last.
        sample_rate: of the network in Hz; songs of other rates are resampled to it and back.
        device: that the network is on.
        precision: that it computes in, `float32` or `bfloat16`.

    Raises:
        ConfigError: for an impossible segment, overlap, batch size, device, filter or precision.
        ModelError: for a stem that no file can be named after.
    """

    def __init__(
        self,
        model: nn.Module | OnnxNetwork,
        device: str | torch.device = "auto",
        segment: float | None = None,
        overlap: float = 0.25,
        batch_size: int | None = None,
        wiener: int = 0,
        precision: str = "auto",
    ) -> None:
        if not 0 <= overlap <= 0.5:
            raise ConfigError(f"overlap {overlap}: give a part of the segment from 0 to 0.5")
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"batch_size {batch_size}: give 1 or more")
        if wiener < 0 or wiener % 1:
            raise ConfigError(f"wiener {wiener}: give a number of iterations, 0 for none")
        self._runner = Runner(model, str(device), precision, batch_size, int(wiener))
        self.model = self._runner.model
        self.device, self.precision = self._runner.device, self._runner.precision
        config: Any = model.config
        self.stems: tuple[str, ...] = (*config.targets, config.residual)
        check_stems(self.stems)
        self.sample_rate: int = config.sample_rate
        self._gates = [deepcopy(gate).cpu() for gate in getattr(model, "gates", ())]
        self._cell, self._hop = grid_of(model), getattr(config, "hop", 1)
        self._segment = segment_samples(config, segment)
        self._fade = fade_samples(model, self._segment, overlap)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = DEFAULT, **options: Any) -> Separator:
        """Separator with shipped weights, or with a weight file; nothing is downloaded.

        Args:
            name_or_path: a name that `list_models` knows, or the path of a `.safetensors` file or
                of an `.onnx` file of `unbraid export`, for which no network is built in torch.
            **options: `device`, `segment`, `overlap`, `batch_size`, `wiener`, `precision`.

        Raises:
            ModelError: if there is no such model, or its file is damaged.
        """
        path = find(name_or_path)
        return cls(
            OnnxNetwork(path) if path.suffix == ".onnx" else checkpoint.load(path), **options
        )

    @overload
    def __call__(
        self, audio: torch.Tensor, sample_rate: int, progress: Progress | None = None
    ) -> Separation[torch.Tensor]: ...
    @overload
    def __call__(
        self, audio: NDArray[np.floating[Any]], sample_rate: int, progress: Progress | None = None
    ) -> Separation[Block]: ...
    def __call__(
        self, audio: Floating, sample_rate: int, progress: Progress | None = None
    ) -> Separation[Any]:
        """Separate a song.

        Mono is separated as two equal channels and comes back as mono. Of more than two channels
        the first two are separated, and the rest goes to the last stem, the accompaniment. Of
        vocals that are silent throughout an `UnbraidWarning` tells, as of more than two channels.

        Args:
            audio: mixture `[channels, samples]` or `[samples]`, floating, 1.0 is full scale;
                NumPy or torch.
            sample_rate: Hz.
            progress: called with the finished fraction from 0 to 1; what it raises ends the
                separation.

        Returns:
            Stems by name: float32, of the mixture's kind and shape.

        Raises:
            AudioError: if the audio is not floating, not finite or not `[channels, samples]`, or
                there is no such rate.
        """
        check_rate(sample_rate)
        mixture = checked(audio)
        notices.warn_of_channels(len(mixture), self.stems[-1])
        stems = {stem: np.empty_like(mixture) for stem in self.stems}
        start, duration = 0, mixture.shape[1] / sample_rate
        blocks = self._blocks(slices(mixture), sample_rate, len(mixture), "32f", progress, duration)
        for block in blocks:
            stop = start + block[self.stems[0]].shape[1]
            for stem, part in block.items():
                stems[stem][:, start:stop] = part
            start = stop
        if stems[self.stems[-1]].any():
            notices.warn_of_silence(stem for stem in self.stems if not stems[stem].any())
        return Separation({stem: like(audio, out) for stem, out in stems.items()}, sample_rate)

    def blocks(
        self,
        mixture: Iterable[Floating],
        sample_rate: int,
        channels: int,
        bit_depth: str = "32f",
        progress: Progress | None = None,
        duration: float | None = None,
    ) -> Iterator[dict[str, Block]]:
        """Separate a stream in constant memory.

        Blocks come some segments after the mixture, and those of a network with gates another half
        minute of song later.

        Args:
            mixture: floating blocks `[channels, samples]` of any lengths, 1.0 is full scale.
            sample_rate: Hz.
            channels: of the blocks.
            bit_depth: `16`, `24` or `32f`: the targets are rounded to it before they are taken
                from the mixture, so that stems of a file of that depth sum to it exactly.
            progress: called with the fraction that the network has done, from 0 to 1.
            duration: of the mixture in seconds; if it is not known, progress is told of the end
                alone.

        Returns:
            Blocks `[channels, samples]` of each stem; in total as long as the mixture.

        Raises:
            AudioError: if a block is not floating `[channels, samples]` or not finite, or there is
                no such rate.
            ModelError: if the network makes something that is not finite, or the device's memory
                does not hold a segment.
        """
        check_rate(sample_rate)
        notices.warn_of_channels(channels, self.stems[-1])
        return self._blocks(mixture, sample_rate, channels, bit_depth, progress, duration)

    def _blocks(
        self,
        mixture: Iterable[Floating],
        sample_rate: int,
        channels: int,
        bit_depth: str,
        progress: Progress | None,
        duration: float | None,
    ) -> Iterator[dict[str, Block]]:
        waiting: deque[Block] = deque()
        down = Resampler(2, sample_rate, self.sample_rate)
        up = Resampler(2 * (len(self.stems) - 1), self.sample_rate, sample_rate)
        front = keeping(pieces(floating(mixture, channels), sample_rate), waiting)
        fronts = (torch.from_numpy(block) for block in resampled(front, down))
        run = self._runner
        separated = crossfaded(fronts, run, self._segment, self._fade, run.batch_size, run.map)
        if progress and duration:
            separated = with_progress(separated, duration * self.sample_rate, progress)
        if self._gates:
            sounds = gated(separated, self._gates, self._cell, self._hop)
        else:
            sounds = (estimates for (estimates,) in separated)
        flat = (block.flatten(0, 1).numpy() for block in sounds)
        for estimate in resampled(flat, up):
            yield from self._stems(estimate, waiting, bit_depth)
        while waiting:  # resampling to and fro may lose the last samples
            missing = np.zeros((2 * (len(self.stems) - 1), waiting[0].shape[1]), np.float32)
            yield from self._stems(missing, waiting, bit_depth)
        if progress:
            progress(1.0)

    def separate_file(
        self,
        path: str | Path,
        out_dir: str | Path = ".",
        *,
        stems: str | Sequence[str] | None = None,
        name: str = "{track}/{stem}.{ext}",
        format: str = "wav",
        bit_depth: str = "auto",
        progress: Progress | None = None,
    ) -> dict[str, Path]:
        """Separate a file into files of the same rate, length and channels, in constant memory.

        Files appear whole or not at all. No sample is ever clipped: a stem that would exceed full
        scale in an integer format becomes a float WAV file, and a warning says so.

        Args:
            path: audio file, or video file with sound.
            out_dir: folder for the stems.
            stems: the one or those to write; all by default.
            name: template of their paths, with `{track}`, `{stem}` and `{ext}`.
            format: `wav`, `flac`, `mp3`, `ogg` or `opus`, which holds 48 kHz but not 44.1 kHz.
            bit_depth: `16`, `24`, `32f`, or `auto` for the input's.
            progress: called with the finished fraction from 0 to 1; what it raises ends the
                separation, and no file remains.

        Returns:
            The file of each written stem.

        Raises:
            AudioError: if the input can't be read or the output can't be written.
            ConfigError: for an unknown stem or format, a bad template, a bit depth that the format
                cannot hold, or a stem that would replace the input.
        """
        wanted = (stems,) if isinstance(stems, str) else tuple(stems or self.stems)
        for stem in wanted:
            if stem not in self.stems:
                raise ConfigError(f"no stem {stem!r}; the model makes: {', '.join(self.stems)}")
        check_output(name, wanted, format, bit_depth)
        with ExitStack() as stack:
            reader = stack.enter_context(AudioReader(path))
            info = reader.info
            notices.warn_of_tracks(info)
            notices.warn_of_channels(info.channels, self.stems[-1])
            depth = info.bit_depth if bit_depth == "auto" else bit_depth
            if bit_depth == "auto" and format == "flac" and depth == "32f":
                depth = "24"  # FLAC holds no floats
            targets = {
                stem: Path(out_dir) / name.format(track=Path(path).stem, stem=stem, ext=format)
                for stem in wanted
            }
            for target in targets.values():
                _check_apart(target, path)
            writers = {}
            for stem, target in targets.items():
                writer = AudioWriter(target, info.sample_rate, info.channels, depth)
                writers[stem] = stack.enter_context(writer)
            grid = "32f" if format in LOSSY_FORMATS else depth
            done = 0
            silent = [*self.stems]
            blocks = self._blocks(
                read(reader), info.sample_rate, info.channels, grid, progress, info.duration
            )
            for block in blocks:
                for stem, writer in writers.items():
                    writer.write(block[stem])
                silent = [stem for stem in silent if not block[stem].any()]
                done += block[self.stems[0]].shape[1]
        notices.warn_of_cut(info, done)
        if self.stems[-1] not in silent:
            notices.warn_of_silence(silent)
        for stem, writer in writers.items():
            notices.warn_of_level(stem, writer)
        return {stem: writer.path for stem, writer in writers.items()}

    def _stems(
        self, estimate: Block, waiting: deque[Block], bit_depth: str
    ) -> Iterator[dict[str, Block]]:
        """Pair estimates with the mixture that waits for them."""
        start = 0
        while waiting and start < estimate.shape[1]:
            mixture = waiting.popleft()
            length = min(mixture.shape[1], estimate.shape[1] - start)
            if length < mixture.shape[1]:
                waiting.appendleft(mixture[:, length:])
            part = estimate[:, start : start + length].reshape(-1, 2, length)
            start += length
            yield self._complete(mixture[:, :length], part, bit_depth)

    def _complete(self, mixture: Block, targets: Block, bit_depth: str) -> dict[str, Block]:
        stems = {}
        residual = mixture.copy()
        for stem, stereo in zip(self.stems, targets, strict=False):
            target = np.zeros_like(mixture)
            target[:2] = stereo if mixture.shape[0] > 1 else stereo.mean(0, keepdims=True)
            stems[stem] = quantize(target, bit_depth)
            residual -= stems[stem]
        stems[self.stems[-1]] = residual
        return stems


def _check_apart(target: Path, path: str | Path) -> None:
    """Raise if a stem, or the float WAV file that a FLAC file may become, is the song itself."""
    for form in forms_of(target):
        if os.path.exists(form) and os.path.samefile(form, path):
            raise ConfigError(
                f"{form}: is the song itself and would be overwritten; give another name or out_dir"
            )
