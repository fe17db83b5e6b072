"""Multichannel Wiener filter: makes the stems of a stereo mixture agree on where each of them is.

Each stem is modelled as Gaussian, with a power per bin and frame and a spatial covariance per bin
(Duong, Vincent and Gribonval, "Under-determined reverberant audio source separation using a
full-rank spatial covariance model", IEEE TASLP 18(7), 2010). The update of the spatial covariance
is the simplified one that Open-Unmix and norbert use (Nugraha, Liutkus and Vincent, "Multichannel
music separation with deep neural networks", EUSIPCO 2016).
"""

from __future__ import annotations

import torch
from torch import Tensor

from unbraid.spectrogram import istft, stft

N_FFT = 4096
HOP = 1024
WINDOW = 300  # frames over which a stem is taken to stand still
LOADING = 1e-8  # of a bin's power: one-sided and mono bins have singular covariances
TINY = 1e-30  # power far below any sound: silent bins have singular covariances


def wiener(stems: Tensor, iterations: int) -> Tensor:
    """Filter the stems of stereo mixtures.

    Args:
        stems: first estimates `[b, stems, 2, samples]`, whose sum over stems is the mixture.
        iterations: of `expectation_maximization`.

    Returns:
        `[b, stems, 2, samples]`, of the same sum.
    """
    if stems.device.type == "mps":  # it has no float64
        return wiener(stems.cpu(), iterations).to(stems.device)
    return torch.stack([_filtered(mixture, iterations) for mixture in stems])


def _filtered(stems: Tensor, iterations: int) -> Tensor:
    spectra = stft(stems.double(), N_FFT, HOP)  # [j, c, f, t]
    # of equal length, so that no window is too short to tell where a stem is
    windows = spectra.tensor_split(max(1, round(spectra.shape[-1] / WINDOW)), dim=-1)
    filtered = torch.cat([expectation_maximization(part, iterations) for part in windows], dim=-1)
    return istft(filtered, stems.shape[-1], N_FFT, HOP).to(stems.dtype)


def expectation_maximization(stems: Tensor, iterations: int) -> Tensor:
    """Refine the complex spectrograms of a stereo mixture's stems.

    Starts from the given stems. An iteration takes the power v = mean over channels of |y|² and
    the spatial covariance R = Σₜ y·yᴴ / Σₜ v of each stem y, and filters the mixture x by them:
    y = C·(Σ C)⁻¹·x with C = v·R, loaded evenly so that the sum can be inverted.

    Args:
        stems: `[stems, 2, f, t]` in complex128; their sum is the mixture.
        iterations: how often to refine them.

    Returns:
        `[stems, 2, f, t]`, of the same sum.
    """
    left, right = stems.sum(0)  # [f, t]
    for _ in range(iterations):
        own = stems.abs().square()  # [j, c, f, t]
        power = own.mean(1)  # [j, f, t]
        weight = power.sum(-1) + TINY  # [j, f]
        # a 2 x 2 Hermitian matrix: the channels' powers, and one complex number across
        powers = (own.sum(-1) / weight[:, None])[..., None] * power[:, None]  # [j, c, f, t]
        across = (stems[:, 0] * stems[:, 1].conj()).sum(-1) / weight
        cross = across[..., None] * power  # [j, f, t]
        load = (LOADING * power.sum(0) + TINY) / len(stems)  # [f, t], for each stem
        powers = powers + load
        (a, d), b = powers.sum(0), cross.sum(0)
        determinant = a * d - b.abs().square()
        white_left = (d * left - b * right) / determinant
        white_right = (a * right - b.conj() * left) / determinant
        stems = torch.stack(
            [
                powers[:, 0] * white_left + cross * white_right,
                cross.conj() * white_left + powers[:, 1] * white_right,
            ],
            dim=1,
        )
    return stems
