"""What training makes small: the distance of estimated stems from true ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unbraid.spectrogram import stft
from unbraid.training.aims import LossConfig

ENERGY_FLOOR = 1e-6  # -60 dBFS: errors below it need not shrink
MAGNITUDE_FLOOR = ENERGY_FLOOR**0.5


def separation_loss(estimates: Tensor, targets: Tensor, config: LossConfig) -> dict[str, Tensor]:
    """Weighted sum of distances; by default those of Luo and Yu's band-split RNN.

    Args:
        estimates: `[b, targets, 2, samples]`.
        targets: of the same shape.
        config: weights of the terms.

    Returns:
        Each weighted term by name, and their sum as `loss`.
    """
    terms = {
        name: weight * term(estimates, targets, config)
        for name, term in _TERMS.items()
        if (weight := getattr(config, name))
    }
    return {"loss": torch.stack([*terms.values()]).sum(), **terms}


def _waveform(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return (estimates - targets).abs().mean()


def _waveform_mse(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    return (estimates - targets).square().mean()


def _spectrum(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    errors = _spectra(estimates - targets, config)
    return _mean([torch.view_as_real(error).abs().mean() for error in errors])


def _complex_mse(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    errors = _spectra(estimates - targets, config)
    return _mean([torch.view_as_real(error).square().sum(-1).mean() for error in errors])


def _magnitude_mse(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    pairs = zip(_spectra(estimates, config), _spectra(targets, config), strict=True)
    return _mean([(ours.abs() - true.abs()).square().mean() for ours, true in pairs])


def _log_magnitude(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    pairs = zip(_spectra(estimates, config), _spectra(targets, config), strict=True)
    return _mean([(_log(ours) - _log(true)).square().mean() for ours, true in pairs])


def _log_error(estimates: Tensor, targets: Tensor, config: LossConfig) -> Tensor:
    energy = targets.square().mean((-2, -1)) + ENERGY_FLOOR
    error = (estimates - targets).square().mean((-2, -1)) + ENERGY_FLOOR
    return (error / energy).log().mean()


_TERMS: dict[str, Callable[[Tensor, Tensor, LossConfig], Tensor]] = {
    "waveform": _waveform,
    "waveform_mse": _waveform_mse,
    "spectrum": _spectrum,
    "complex_mse": _complex_mse,
    "magnitude_mse": _magnitude_mse,
    "log_magnitude": _log_magnitude,
    "log_error": _log_error,
}


def _spectra(audio: Tensor, config: LossConfig) -> list[Tensor]:
    return [stft(audio, n_fft, n_fft // 4) / n_fft**0.5 for n_fft in config.resolutions]


def _log(spectrum: Tensor) -> Tensor:
    return (spectrum.abs() + MAGNITUDE_FLOOR).log()


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()
