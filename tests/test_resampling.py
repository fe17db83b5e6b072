"""Rates: in blocks as in one piece, and tones stay what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sounds import RATE, tone
from unbraid.audio import Resampler, load_audio
from unbraid.errors import AudioError


@settings(max_examples=25)
@given(
    samples=st.integers(0, 30000),
    rates=st.sampled_from([(44100, 48000), (48000, 44100), (22050, 44100), (96000, 44100)]),
    seed=st.integers(0, 99),
)
def test_resampling_in_blocks_equals_one_shot(samples, rates, seed):
    audio = tone(samples)
    whole = Resampler(2, *rates).process(audio, last=True)
    random = np.random.default_rng(seed)
    cuts = np.sort(random.integers(0, samples + 1, 5))
    streaming = Resampler(2, *rates)
    blocks = [streaming.process(block) for block in np.split(audio, cuts, axis=1)]
    joined = np.concatenate([*blocks, streaming.process(audio[:, :0], last=True)], axis=1)
    assert abs(joined.shape[1] - round(samples * rates[1] / rates[0])) <= 1
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max(initial=0) < 1e-6


def test_resampling_keeps_a_tone(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(RATE).T, RATE, "FLOAT")
    audio, rate = load_audio(tmp_path / "a.wav", 48000)
    assert (rate, audio.shape) == (48000, (2, 48000))
    spectrum = np.abs(np.fft.rfft(audio[0]))
    assert spectrum.argmax() == 440


@pytest.mark.parametrize("rate", [0, -44100, 0.5, math.nan, math.inf])
def test_rates_that_no_audio_has_are_refused(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", tone(RATE).T, RATE, "FLOAT")
    with pytest.raises(AudioError, match=f"sample_rate {rate}: give a number of Hz"):
        load_audio(tmp_path / "a.wav", rate)
