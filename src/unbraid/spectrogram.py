"""STFT and its exact inverse, for every length from one sample up."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def stft(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """Short-time Fourier transform with a square-root Hann window, reflected at both ends.

    The same window serves analysis and synthesis, so that their product overlap-adds to a
    constant at every hop that divides half the window.

    Args:
        audio: `[..., samples]`, at least one sample.
        n_fft: window length in samples, even.
        hop: distance of frames in samples, at most `n_fft // 2`.

    Returns:
        Complex spectrogram `[..., n_fft // 2 + 1, ceil(samples / hop) + 1]`.
    """
    samples = audio.shape[-1]
    to_last_frame = -samples % hop
    flat = audio.reshape(-1, 1, samples)
    left, right = n_fft // 2, n_fft // 2 + to_last_frame
    if samples <= right:  # too short to reflect
        flat = functional.pad(flat, (left, right))
    else:
        flat = functional.pad(flat, (left, right), mode="reflect")
    window = _window(n_fft, audio)
    spectrum = torch.stft(
        flat.squeeze(1), n_fft, hop, window=window, center=False, return_complex=True
    )
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[-2:])


def istft(spectrum: Tensor, samples: int, n_fft: int, hop: int) -> Tensor:
    """Inverse of `stft`: least-squares overlap-add.

    Args:
        spectrum: complex `[..., n_fft // 2 + 1, frames]`.
        samples: length of the audio that `stft` was given.
        n_fft: window length in samples.
        hop: distance of frames in samples.

    Returns:
        Audio `[..., samples]`.
    """
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    audio = torch.istft(
        flat, n_fft, hop, window=_window(n_fft, spectrum.real), center=True, length=samples
    )
    return audio.reshape(*spectrum.shape[:-2], samples)


def centred_stft(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """Short-time Fourier transform of networks published by others: Hann window, centred.

    Args:
        audio: `[..., samples]`, at least one sample.
        n_fft: window length in samples, even.
        hop: distance of frames in samples.

    Returns:
        Complex spectrogram `[..., n_fft // 2 + 1, samples // hop + 1]`.
    """
    samples = audio.shape[-1]
    spectrum = torch.stft(
        audio.reshape(-1, samples),
        n_fft,
        hop,
        window=torch.hann_window(n_fft, dtype=audio.dtype, device=audio.device),
        pad_mode="reflect" if samples > n_fft // 2 else "constant",  # too short to reflect
        return_complex=True,
    )
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[-2:])


def centred_istft(spectrum: Tensor, samples: int, n_fft: int, hop: int) -> Tensor:
    """Inverse of `centred_stft`, of the arguments of `istft`."""
    window = torch.hann_window(n_fft, dtype=spectrum.real.dtype, device=spectrum.device)
    flat = spectrum.reshape(-1, *spectrum.shape[-2:])
    audio = torch.istft(flat, n_fft, hop, window=window, length=samples)
    return audio.reshape(*spectrum.shape[:-2], samples)


def levelling(power: Tensor, neighbours: int) -> Tensor:
    """What brings the neighbourhood of each frame to an RMS of one.

    The level of a neighbourhood is the RMS of its frames, each weighted by its energy, so that
    pauses don't count.

    Args:
        power: mean square of each frame, `[b, t]`.
        neighbours: frames to each side that count.

    Returns:
        Factors `[b, t]`.
    """

    def around(values: Tensor) -> Tensor:
        rows = values.unsqueeze(1)  # which ONNX's pooling asks for
        pooled = functional.avg_pool1d(rows, 2 * neighbours + 1, stride=1, padding=neighbours)
        return pooled.squeeze(1)

    power = power.float()
    level = (around(power**2) / (around(power) + 1e-20)).sqrt()
    return 1 / (level + 1e-6)


def frames_of(samples: int, hop: int) -> int:
    """Number of frames that `stft` makes of so many samples."""
    return math.ceil(samples / hop) + 1


def _window(n_fft: int, like: Tensor) -> Tensor:
    return torch.hann_window(n_fft, dtype=like.dtype, device=like.device).sqrt()
