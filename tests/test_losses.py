"""Each term against a direct computation."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
import torch

from unbraid.errors import ConfigError
from unbraid.training.losses import LossConfig, separation_loss

WEIGHTS = [field.name for field in fields(LossConfig) if field.name != "resolutions"]


def only(**weights: float) -> LossConfig:
    return LossConfig(**{**dict.fromkeys(WEIGHTS, 0.0), **weights}, resolutions=[256, 64])


def examples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = 0.1 * rng.standard_normal((2, 1, 2, 3000))
    targets[1, ..., 1000:] = 0  # silence too
    return targets + 0.02 * rng.standard_normal(targets.shape), targets


def spectra(audio: np.ndarray, n_fft: int) -> np.ndarray:
    """Frame by frame: square-root Hann windows of mirrored audio, scaled by the window's root."""
    hop = n_fft // 4
    ends = (n_fft // 2, n_fft // 2 + -audio.shape[-1] % hop)
    padded = np.pad(audio, [(0, 0)] * 3 + [ends], "reflect")
    window = np.sin(np.pi * np.arange(n_fft) / n_fft)
    starts = range(0, padded.shape[-1] - n_fft + 1, hop)
    frames = np.stack([padded[..., start : start + n_fft] for start in starts], -2)
    return np.fft.rfft(frames * window) / np.sqrt(n_fft)


def over_resolutions(distance: Callable[[np.ndarray, np.ndarray], float]) -> float:
    estimates, targets = examples()
    values = [distance(spectra(estimates, n_fft), spectra(targets, n_fft)) for n_fft in (256, 64)]
    return float(np.mean(values))


def expected(name: str) -> float:
    estimates, targets = examples()
    error = estimates - targets
    if name == "waveform":
        return np.abs(error).mean()
    if name == "waveform_mse":
        return (error**2).mean()
    if name == "spectrum":
        return over_resolutions(
            lambda e, t: (np.abs((e - t).real).mean() + np.abs((e - t).imag).mean()) / 2
        )
    if name == "complex_mse":
        return over_resolutions(lambda e, t: (np.abs(e - t) ** 2).mean())
    if name == "magnitude_mse":
        return over_resolutions(lambda e, t: ((np.abs(e) - np.abs(t)) ** 2).mean())
    if name == "log_magnitude":
        return over_resolutions(
            lambda e, t: ((np.log(np.abs(e) + 1e-3) - np.log(np.abs(t) + 1e-3)) ** 2).mean()
        )
    if name == "log_error":
        ratio = ((error**2).mean((2, 3)) + 1e-6) / ((targets**2).mean((2, 3)) + 1e-6)
        return np.log(ratio).mean()
    raise AssertionError(f"no direct computation of {name}")


@pytest.mark.parametrize("name", WEIGHTS)
def test_term_is_what_its_formula_says(name: str) -> None:
    estimates, targets = map(torch.from_numpy, examples())
    losses = separation_loss(estimates, targets, only(**{name: 0.5}))
    assert set(losses) == {"loss", name}  # a term of weight 0 is not computed
    assert losses[name].item() == pytest.approx(0.5 * expected(name), rel=1e-6)
    assert losses["loss"] == losses[name]


def test_loss_is_the_sum_of_its_terms() -> None:
    estimates, targets = map(torch.from_numpy, examples())
    weights = {name: 0.1 * (index + 1) for index, name in enumerate(WEIGHTS)}
    losses = separation_loss(estimates, targets, only(**weights))
    direct = sum(weight * expected(name) for name, weight in weights.items())
    assert losses["loss"].item() == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("name", WEIGHTS)
def test_gradients_are_finite_where_all_is_silent(name: str) -> None:
    estimates = torch.zeros(1, 1, 2, 1000, requires_grad=True)
    separation_loss(estimates, torch.zeros(1, 1, 2, 1000), only(**{name: 1.0}))["loss"].backward()
    assert estimates.grad.isfinite().all()


def test_phase_counts_where_the_report_says_so() -> None:
    targets = torch.from_numpy(examples()[1])
    blind, aware = only(log_magnitude=1.0), only(complex_mse=1.0)
    assert separation_loss(-targets, targets, blind)["loss"] == 0
    assert separation_loss(-targets, targets, aware)["loss"] > 0


def test_no_weight_at_all_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"every weight is 0.*waveform_mse"):
        only()


def test_no_resolution_is_an_error() -> None:
    with pytest.raises(ConfigError, match="resolutions"):
        LossConfig(resolutions=[])


def test_loss_is_zero_only_for_the_truth() -> None:
    targets = torch.randn(2, 1, 2, 9000)
    assert separation_loss(targets, targets, LossConfig())["loss"] == 0
    small, large = (
        separation_loss(targets + error, targets, LossConfig())["loss"] for error in (0.01, 0.1)
    )
    assert 0 < small < large
