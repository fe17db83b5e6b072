from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.errors import DataError
from unbraid.evaluation import below, frame_sdr, sdr, si_sdr, usdr

RATE = 1000


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


@given(samples=st.integers(1, 5 * RATE))
@settings(max_examples=30)
def test_frames_are_the_full_seconds(samples: int) -> None:
    s = noise(2, samples)
    scores = frame_sdr(s, 0.9 * s, RATE)
    assert scores.shape == (max(samples // RATE, 1),)
    np.testing.assert_allclose(scores, 20, atol=1e-4)


def test_every_frame_has_the_sdr_of_its_second() -> None:
    s, e = noise(2, 3 * RATE + 7), noise(2, 3 * RATE + 7, seed=1)
    seconds = [slice(i * RATE, (i + 1) * RATE) for i in range(3)]
    expected = [sdr(s[:, second], e[:, second]) for second in seconds]
    np.testing.assert_allclose(frame_sdr(s, e, RATE), expected, atol=1e-12)


def test_frames_whose_channels_sum_to_zero_are_nan_for_all_sources() -> None:
    s, e = noise(2, 2, 4 * RATE), noise(2, 2, 4 * RATE, seed=1)
    s[0, :, :RATE] = 0
    e[1, 1, 2 * RATE : 3 * RATE] = -e[1, 0, 2 * RATE : 3 * RATE]
    expected = [[True, False, True, False]] * 2
    np.testing.assert_array_equal(np.isnan(frame_sdr(s, e, RATE)), expected)


@pytest.mark.parametrize("score", [sdr, usdr, si_sdr])
def test_numpy_and_torch_agree_and_blocks_do_not_show(score, monkeypatch) -> None:
    s, e = noise(2, 5000), noise(2, 5000, seed=1)
    whole = score(s, e)
    monkeypatch.setattr("unbraid.evaluation.metrics._BLOCK", 512)
    assert score(torch.from_numpy(s), torch.from_numpy(e)) == pytest.approx(whole, abs=1e-10)
    assert isinstance(whole, float)


@pytest.mark.parametrize("score", [sdr, usdr, si_sdr])
def test_a_silent_reference_has_no_score(score) -> None:
    assert math.isnan(score(np.zeros((2, 100)), noise(2, 100)))


def test_an_estimate_without_error() -> None:
    s = noise(2, 100)
    assert sdr(s, s) == math.inf
    assert si_sdr(s, 0.5 * s) == math.inf
    assert 90 < usdr(s, s) < 110


def test_a_silent_estimate() -> None:
    s = noise(2, 100)
    assert sdr(s, 0 * s) == 0
    assert math.isnan(si_sdr(s, 0 * s))


@pytest.mark.parametrize(
    ("mixture", "estimate", "level"),
    [(1, 0.01, 40), (0.01, 1, -40), (1, 0, 120), (1, 1e-9, 120), (0, 0, 120), (0, 1, -120)],
)
def test_how_far_an_estimate_lies_below_its_mixture_is_finite(mixture, estimate, level) -> None:
    s = noise(2, RATE)
    assert below(mixture * s, estimate * s) == pytest.approx(level, abs=1e-3)


@pytest.mark.parametrize("variant", ["joint", "per-channel", "mono"])
def test_si_sdr_ignores_the_gain_of_the_estimate(variant) -> None:
    s, e = noise(2, 4000), noise(2, 4000) + 0.3 * noise(2, 4000, seed=1)
    assert si_sdr(s, 8 * e, variant) == pytest.approx(si_sdr(s, e, variant), abs=1e-9)


def test_si_sdr_per_channel_is_that_of_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.audio")
    s = torch.from_numpy(noise(2, 4000)).double() + 0.2  # the mean stays in
    e = s * torch.tensor([[0.5], [2.0]]) + 0.3 * torch.from_numpy(noise(2, 4000, seed=1))
    expected = functional.scale_invariant_signal_distortion_ratio(e, s).mean().item()
    assert si_sdr(s, e, "per-channel") == pytest.approx(expected, abs=1e-9)


def test_si_sdr_variants_differ_by_how_channels_enter() -> None:
    s, e = noise(2, 4000), noise(2, 4000) * np.array([[1.0], [0.5]])
    assert si_sdr(s, e, "per-channel") > 100
    gain = (s * e).sum() / (s * s).sum()
    expected = 10 * np.log10(((gain * s) ** 2).sum() / ((gain * s - e) ** 2).sum())
    assert si_sdr(s, e, "joint") == pytest.approx(expected, abs=1e-4)
    assert si_sdr(s, e, "mono") == pytest.approx(
        si_sdr(s.mean(0, keepdims=True), e.mean(0, keepdims=True)), abs=1e-4
    )
    s[1] = 0
    assert math.isfinite(si_sdr(s, noise(2, 4000, seed=2), "per-channel"))


def test_what_cannot_be_scored_is_said_in_one_line() -> None:
    s = noise(2, 100)
    for call in (
        lambda: sdr(s, s[:, :99]),
        lambda: sdr(s[0], s[0]),
        lambda: sdr(s[:, :0], s[:, :0]),
        lambda: frame_sdr(s, s[:1], RATE),
        lambda: si_sdr(s, s, "both"),  # type: ignore[arg-type]
    ):
        with pytest.raises(DataError) as error:
            call()
        assert "\n" not in str(error.value)
