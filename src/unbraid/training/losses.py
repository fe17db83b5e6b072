"""What training makes small: the distance of estimated stems from true ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unbraid.data.config import NOT_NEGATIVE, check_limits
from unbraid.errors import ConfigError
from unbraid.spectrogram import stft

ENERGY_FLOOR = 1e-6  # -60 dBFS: errors below it need not shrink
MAGNITUDE_FLOOR = ENERGY_FLOOR**0.5


@dataclass
class LossConfig:
    """Weights of the loss's terms; a term of weight 0 is not computed.

    Spectra are scaled by the root of their window's length, so that magnitudes are of the size of
    samples, and averaged over `resolutions`.

    Attributes:
        waveform: of the mean absolute error of samples.
        waveform_mse: of the mean squared error of samples.
        spectrum: of the mean absolute error of real and imaginary parts.
        complex_mse: of the mean of |E - T|² over bins, for complex spectra E of the estimate and T
            of the target: a squared error that counts phase.
        magnitude_mse: of the mean of (|E| - |T|)² over bins.
        log_magnitude: of log-L2, the mean of (ln(|E| + 0.001) - ln(|T| + 0.001))² over bins.
        log_error: of the logarithm of the error's energy relative to the target's, which counts
            quiet and loud examples alike and keeps absolute errors from favouring too soft stems.
        resolutions: STFT windows in samples; the hop is a quarter window.
    """

    waveform: float = 1.0
    waveform_mse: float = 0.0
    spectrum: float = 1.0
    complex_mse: float = 0.0
    magnitude_mse: float = 0.0
    log_magnitude: float = 0.0
    log_error: float = 0.0
    resolutions: list[int] = field(default_factory=lambda: [4096, 1024])

    def __post_init__(self) -> None:
        check_limits("loss", self, dict.fromkeys(_TERMS, NOT_NEGATIVE))
        if not any(getattr(self, name) for name in _TERMS):
            raise ConfigError(f"loss: every weight is 0; set one of: {', '.join(_TERMS)}")
        if not self.resolutions:
            raise ConfigError("loss.resolutions is empty; give a window in samples")


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
