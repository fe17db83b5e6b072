"""What is done to voices, music and mixtures in training, and to songs that are validated on."""

import numpy as np
import pytest

from sounds import RATE, loudest_hertz, sine
from unbraid.data import augment
from unbraid.data.conditions import CONDITIONS, treated
from unbraid.errors import ConfigError


@pytest.mark.parametrize(
    "change",
    [
        lambda rng, audio: augment.pitch_shift(rng, audio, RATE, 2),
        lambda rng, audio: augment.equalise(rng, audio, RATE, 6),
        lambda rng, audio: augment.effects(rng, audio, RATE),
        lambda rng, audio: augment.disguise(rng, audio, RATE),
        lambda rng, audio: augment.widen(rng, audio, RATE),
        lambda rng, audio: augment.set_width(rng, audio),
        lambda rng, audio: augment.code(rng, audio, RATE),
        lambda rng, audio: augment.varispeed(audio, 1.1, 40000),
        lambda rng, audio: augment.low_pass([audio], 8000, 500, RATE)[0],
    ],
)
def test_changes_keep_shape_and_are_repeatable(change) -> None:
    audio = sine(440, 1)
    for seed in range(12):
        changed = change(np.random.default_rng(seed), audio)
        assert changed.shape[0] == 2
        assert np.isfinite(changed).all()
        assert changed.std() > 0.01
        again = change(np.random.default_rng(seed), audio)
        np.testing.assert_array_equal(changed, again)


def test_low_pass_takes_treble_from_all_alike() -> None:
    low, high = sine(1000, 1), sine(15000, 1)
    kept, both = augment.low_pass([low, low + high], 12000, 500, RATE)
    np.testing.assert_allclose(kept, low, atol=0.01)
    np.testing.assert_allclose(both, kept, atol=0.01)


def test_widening_makes_a_centred_voice_wide() -> None:
    voice = np.repeat(np.random.default_rng(0).standard_normal((1, RATE)), 2, 0)
    voice = 0.1 * voice.astype(np.float32)
    for seed in range(20):
        wide = augment.widen(np.random.default_rng(seed), voice, RATE)
        side = (wide[0] - wide[1]).std() / wide.std()
        assert side > 0.02


def test_a_disguise_changes_what_a_voice_sounds_like() -> None:
    """More than a change of level would."""
    voice = 0.1 * np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32)
    for seed in range(20):
        changed = augment.disguise(np.random.default_rng(seed), voice, RATE)
        alike = np.corrcoef(voice.ravel(), changed.ravel())[0, 1]
        assert alike < 0.95


def test_varispeed_moves_the_pitch() -> None:
    assert loudest_hertz(augment.varispeed(sine(440, 2), 1.25, RATE)) == pytest.approx(550, abs=2)


def test_bus_gain_turns_loud_parts_down() -> None:
    mixture = np.concatenate([0.05 * sine(440, 1), sine(440, 1)], 1)
    gain = augment.bus_gain(np.random.default_rng(0), mixture, RATE)
    assert gain.shape == (2 * RATE,)
    assert gain.max() <= 1
    assert gain[-RATE // 2 :].mean() < gain[: RATE // 2].mean()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_keep_length_and_timing(condition: str) -> None:
    rng = np.random.default_rng(0)
    clicks = np.zeros((2, 2 * RATE), np.float32)
    clicks[:, RATE] = 0.5
    voice = augment.low_pass(
        [0.1 * rng.standard_normal((2, 2 * RATE)).astype(np.float32)], 8000, 99, RATE
    )[0]
    mixture, stems = treated({"vocals": voice, "accompaniment": clicks}, condition, RATE)
    assert mixture.shape == voice.shape
    assert {stem.shape for stem in stems.values()} == {voice.shape}
    lag = np.correlate(
        stems["vocals"].sum(0)[RATE : RATE + 4000], voice.sum(0)[RATE + 1000 : RATE + 3000]
    )
    assert int(np.abs(lag).argmax()) == 1000


def test_unknown_condition() -> None:
    with pytest.raises(ConfigError, match=r"no condition 'vinyl'.*MP3 128"):
        treated({"vocals": sine(440, 1)}, "vinyl", RATE)
