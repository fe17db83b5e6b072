from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.errors import DataError
from unbraid.evaluation import ideal_ratio_mask, multichannel_wiener, sdr
from unbraid.spectrogram import istft, stft

ORACLES = [ideal_ratio_mask, multichannel_wiener]


def panned(samples: int = 40000) -> dict[str, np.ndarray]:
    """A tone that comes and goes right of the centre, and noise on the left."""
    time = np.arange(samples) / 8000
    tone = np.sin(2 * np.pi * 440 * time) * (np.sin(2 * np.pi * time) > 0)
    hiss = 0.3 * np.random.default_rng(0).standard_normal(samples)
    vocals, band = np.outer([0.4, 0.9], tone), np.outer([0.9, 0.3], hiss)
    return {"vocals": vocals.astype("float32"), "accompaniment": band.astype("float32")}


@given(samples=st.integers(1, 5000), channels=st.integers(1, 2))
@settings(max_examples=30)
@pytest.mark.parametrize("oracle", ORACLES)
def test_estimates_keep_length_and_add_up(oracle, samples: int, channels: int) -> None:
    stems = {name: audio[:channels] for name, audio in panned(samples).items()}
    estimates = oracle(stems, n_fft=512, hop=256)
    assert list(estimates) == list(stems)
    assert all(e.shape == (channels, samples) and e.dtype == np.float32 for e in estimates.values())
    np.testing.assert_allclose(sum(estimates.values()), sum(stems.values()), atol=2e-5)


@pytest.mark.parametrize("oracle", ORACLES)
def test_blocks_do_not_show(oracle, monkeypatch) -> None:
    stems = panned()
    whole = oracle(stems)
    monkeypatch.setattr("unbraid.evaluation.oracle._BLOCK", 5000)
    for name, estimate in oracle(stems).items():
        np.testing.assert_allclose(estimate, whole[name], atol=1e-6)


@pytest.mark.parametrize("power", [1, 2])
def test_the_mask_is_the_ratio_of_spectra(power: int) -> None:
    stems = {name: torch.from_numpy(audio) for name, audio in panned().items()}
    spectra = {name: stft(audio.double(), 2048, 1024) for name, audio in stems.items()}
    mixture = sum(spectra.values())
    mask = spectra["vocals"].abs() ** power / sum(s.abs() ** power for s in spectra.values())
    expected = istft(mixture * mask, 40000, 2048, 1024)
    torch.testing.assert_close(
        ideal_ratio_mask(stems, power)["vocals"], expected.float(), atol=1e-6, rtol=0
    )


def test_the_wiener_filter_uses_space() -> None:
    stems = panned()
    masked, filtered = ideal_ratio_mask(stems), multichannel_wiener(stems)
    for name, stem in stems.items():
        assert sdr(stem, filtered[name]) > sdr(stem, masked[name]) + 10


@pytest.mark.parametrize("oracle", ORACLES)
def test_silence_and_centre_are_no_trouble(oracle) -> None:
    stems = panned()
    centred = {"vocals": stems["vocals"][:1].repeat(2, 0), "drums": 0 * stems["vocals"]}
    estimates = oracle(centred)
    np.testing.assert_allclose(estimates["vocals"], centred["vocals"], atol=1e-4)
    assert all(np.isfinite(e).all() for e in oracle({"a": 0 * stems["vocals"]}).values())


def test_stems_that_do_not_match_are_refused() -> None:
    stems = panned()
    for bad in ({}, {**stems, "x": stems["vocals"][:1]}, {"x": stems["vocals"][0]}):
        with pytest.raises(DataError, match="one length"):
            ideal_ratio_mask(bad)
