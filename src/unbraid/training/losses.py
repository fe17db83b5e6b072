"""What training makes small: the distance of estimated stems from true ones."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from unbraid.spectrogram import stft

ENERGY_FLOOR = 1e-6  # -60 dBFS: errors below it need not shrink


@dataclass
class LossConfig:
    """Weights of the loss's terms.

    Attributes:
        waveform: of the mean absolute error of samples.
        spectrum: of the mean absolute error of real and imaginary parts.
        log_error: of the logarithm of the error's energy relative to the target's, which counts
            quiet and loud examples alike and keeps absolute errors from favouring too soft stems.
        resolutions: STFT windows in samples for `spectrum`; the hop is a quarter window.
    """

    waveform: float = 1.0
    spectrum: float = 1.0
    log_error: float = 0.0
    resolutions: list[int] = field(default_factory=lambda: [4096, 1024])


def separation_loss(estimates: Tensor, targets: Tensor, config: LossConfig) -> dict[str, Tensor]:
    """L1 on waveforms and complex spectrograms, after Luo and Yu's band-split RNN, and log error.

    Args:
        estimates: `[b, targets, 2, samples]`.
        targets: of the same shape.
        config: weights of the terms.

    Returns:
        Each weighted term by name, and their sum as `loss`.
    """
    error = estimates - targets
    terms = {"waveform": config.waveform * error.abs().mean()}
    spectrum = error.new_zeros(())
    for n_fft in config.resolutions:
        parts = torch.view_as_real(stft(error, n_fft, n_fft // 4))
        spectrum = spectrum + parts.abs().mean() / n_fft**0.5
    terms["spectrum"] = config.spectrum * spectrum / max(1, len(config.resolutions))
    energy = targets.square().mean((-2, -1)) + ENERGY_FLOOR
    ratio = (error.square().mean((-2, -1)) + ENERGY_FLOOR) / energy
    terms["log_error"] = config.log_error * ratio.log().mean()
    return {"loss": torch.stack([*terms.values()]).sum(), **terms}
