"""Scores of one estimate against its reference: pure functions, float64 inside, in dB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unbraid.errors import DataError

Audio = NDArray[np.floating] | Tensor
SiSdrVariant = Literal["joint", "per-channel", "mono"]

NOTHING = 120.0  # dB below a mixture at which nothing is left
_BLOCK = 1 << 20  # samples in float64 at a time, so that memory does not grow with the track
_USDR_FLOOR = 1e-7


def sdr(reference: Audio, estimate: Audio) -> float:
    """Signal-to-distortion ratio over the whole track and all channels.

    10·log10(Σs² / Σ(s-ŝ)²), the SDR of BSS Eval v4 with one frame as long as the track.

    Args:
        reference: true stem, `[channels, samples]`.
        estimate: separated stem, same shape.

    Returns:
        dB; NaN for a silent reference, inf for an estimate without any error.

    Raises:
        DataError: if the shapes differ or are not `[channels, samples]`.

    >>> round(sdr(np.ones((2, 100)), 0.9 * np.ones((2, 100))), 6)
    20.0
    """
    signal, error = _energies(reference, estimate)
    return _decibel(signal, error) if signal > 0 else math.nan


def usdr(reference: Audio, estimate: Audio) -> float:
    """SDR of the Music Demixing Challenge, finite even for an estimate without any error.

    10·log10((Σs² + 1e-7) / (Σ(s-ŝ)² + 1e-7)) over the whole track and all channels
    (Mitsufuji et al., Music Demixing Challenge 2021, https://doi.org/10.3389/frsip.2021.808395).

    Args:
        reference: true stem, `[channels, samples]`.
        estimate: separated stem, same shape.

    Returns:
        dB; NaN for a silent reference.

    Raises:
        DataError: if the shapes differ or are not `[channels, samples]`.

    >>> round(usdr(np.ones((2, 100)), np.ones((2, 100))), 2)
    93.01
    """
    signal, error = _energies(reference, estimate)
    return _decibel(signal + _USDR_FLOOR, error + _USDR_FLOOR) if signal > 0 else math.nan


def si_sdr(reference: Audio, estimate: Audio, variant: SiSdrVariant = "joint") -> float:
    """Scale-invariant SDR over the whole track, without removal of the mean.

    10·log10(‖g·s‖² / ‖g·s-ŝ‖²) with gain g = ⟨ŝ,s⟩/‖s‖² (Le Roux et al., "SDR - half-baked or well
    done?", ICASSP 2019). How channels enter is the variant:

    Args:
        reference: true stem, `[channels, samples]`.
        estimate: separated stem, same shape.
        variant: "joint" takes one gain for all channels; "per-channel" averages the dB of the
            channels, each with its own gain, as torchmetrics does, and leaves silent channels of
            the reference out; "mono" scores the mean of the channels.

    Returns:
        dB; NaN for a silent reference or estimate.

    Raises:
        DataError: if the shapes differ, are not `[channels, samples]`, or the variant is unknown.

    >>> s = np.array([[1.0, 0.0], [1.0, 0.0]])
    >>> round(si_sdr(s, 5 * s + np.array([[0.0, 0.5], [0.0, 0.5]])), 6)
    20.0
    """
    reference, estimate = _pair(reference, estimate)
    if variant == "joint":
        return _si_sdr(reference, estimate)
    if variant == "mono":
        return _si_sdr(*(_mono(audio) for audio in (reference, estimate)))
    if variant == "per-channel":
        channels = range(len(reference))
        values = [_si_sdr(reference[c : c + 1], estimate[c : c + 1]) for c in channels]
        audible = [value for c, value in enumerate(values) if reference[c].any()]
        return sum(audible) / len(audible) if audible else math.nan
    raise DataError(f'unknown SI-SDR variant "{variant}": use joint, per-channel or mono')


def below(mixture: Audio, estimate: Audio) -> float:
    """How far an estimate lies below its mixture, such as the vocals of an instrumental.

    10·log10(Σm² / Σŝ²) over the whole track and all channels, from -120 to 120.

    Args:
        mixture: `[channels, samples]`.
        estimate: separated stem, same shape.

    Returns:
        dB; 120 for a silent estimate.

    Raises:
        DataError: if the shapes differ or are not `[channels, samples]`.

    >>> round(below(np.ones((2, 100)), 0.1 * np.ones((2, 100))), 6)
    20.0
    """
    whole = part = 0.0
    for m, e in _blocks(*_pair(mixture, estimate)):
        whole += float(m.square().sum())
        part += float(e.square().sum())
    return max(-NOTHING, min(_decibel(whole, part), NOTHING))


def frame_sdr(reference: Audio, estimate: Audio, sample_rate: int) -> NDArray[np.float64]:
    """SDR of every full second, exactly as BSS Eval v4 (museval) has it: it needs no filters.

    The last partial second is dropped; a track of at most one second is one frame. A frame is
    NaN if the channels of the reference or of the estimate sum to exactly 0 throughout it; with
    several sources, if those of any source do.

    Args:
        reference: true stem `[channels, samples]`, or `[sources, channels, samples]`.
        estimate: separated stem or stems, same shape.
        sample_rate: in Hz; a frame is one second.

    Returns:
        dB, `[frames]` or `[sources, frames]`.

    Raises:
        DataError: if the shapes differ, have another number of dimensions, or hold no sample.

    >>> frame_sdr(np.ones((2, 25)), 0.9 * np.ones((2, 25)), sample_rate=10).round(6)
    array([20., 20.])
    """
    reference, estimate = _pair(reference, estimate, dimensions=(2, 3))
    columns = []
    seconds = (in_seconds(audio, sample_rate).unbind(-2) for audio in (reference, estimate))
    for s, e in zip(*seconds, strict=True):  # ([sources,] channels, samples) of a second
        silent = _cancels(s) or _cancels(e)
        s, e = s.double(), e.double()
        ratio = 10 * torch.log10(_energy(s) / _energy(s - e))
        columns.append(torch.full_like(ratio, math.nan) if silent else ratio)
    return np.asarray(torch.stack(columns, -1).cpu())


def median(values: NDArray[np.floating]) -> float:
    """Median of the scores that are there.

    Args:
        values: dB, of any shape; NaN are left out.

    Returns:
        dB; NaN if there are none.

    >>> median(np.array([1.0, math.nan, 3.0]))
    2.0
    """
    there = values[~np.isnan(values)]
    return float(np.median(there)) if there.size else math.nan


def in_seconds(audio: Tensor, sample_rate: int) -> Tensor:
    """View of audio `[..., samples]` as BSS Eval v4's frames, `[..., frames, samples]`.

    A frame is a second; what is left over is dropped, but a shorter track is one frame.
    """
    window = min(sample_rate, audio.shape[-1])
    frames = audio.shape[-1] // window
    return audio[..., : frames * window].unflatten(-1, (frames, window))


def _pair(
    reference: Audio, estimate: Audio, dimensions: tuple[int, ...] = (2,)
) -> tuple[Tensor, Tensor]:
    s, e = torch.as_tensor(reference), torch.as_tensor(estimate)
    if s.shape != e.shape:
        raise DataError(
            f"reference {list(s.shape)} and estimate {list(e.shape)} differ in shape: "
            "give both as [channels, samples] of one length"
        )
    if s.ndim not in dimensions or not s.numel():
        raise DataError(f"cannot score audio of shape {list(s.shape)}: give [channels, samples]")
    device = "cpu" if s.device.type == "mps" else s.device  # MPS has no float64
    return s.detach().to(device), e.detach().to(device)


def _blocks(reference: Tensor, estimate: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    pairs = zip(reference.split(_BLOCK, -1), estimate.split(_BLOCK, -1), strict=True)
    return ((s.double(), e.double()) for s, e in pairs)


def _energies(reference: Audio, estimate: Audio) -> tuple[float, float]:
    signal = error = 0.0
    for s, e in _blocks(*_pair(reference, estimate)):
        signal += float(s.square().sum())
        error += float((s - e).square().sum())
    return signal, error


def _si_sdr(reference: Tensor, estimate: Tensor) -> float:
    signal = product = target = error = 0.0
    for s, e in _blocks(reference, estimate):
        signal += float(s.square().sum())
        product += float((s * e).sum())
    if signal == 0 or not estimate.any():
        return math.nan
    scale = product / signal
    for s, e in _blocks(reference, estimate):
        target += float((scale * s).square().sum())
        error += float((scale * s - e).square().sum())
    return _decibel(target, error)


def _mono(audio: Tensor) -> Tensor:
    return audio.mean(0, keepdim=True, dtype=torch.float64)


def _energy(audio: Tensor) -> Tensor:
    return torch.linalg.vector_norm(audio, dim=(-2, -1)).square()


def _cancels(audio: Tensor) -> bool:
    """Whether the channels of any source `[..., channels, samples]` sum to 0 throughout."""
    if audio[..., : audio.shape[-1] // 64 + 1].double().sum(-2).ne(0).any(-1).all():
        return False  # as nearly always: no need to look at all of it
    return bool(audio.double().sum(-2).eq(0).all(-1).any())


def _decibel(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.inf
    return -math.inf if numerator == 0 else 10 * math.log10(numerator / denominator)
