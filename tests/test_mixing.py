"""What a mixture is told to be: its balance, its peak, its noise, and another in every worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from sounds import RATE, sine
from unbraid.data.config import AugmentConfig, DataConfig, Source
from unbraid.data.mixing import Mixtures


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A voice in the left channel alone, and music in both."""
    voice = sine(880, 3) * np.array([[1], [0]])
    for name, audio in {"voices/a.wav": voice, "music/b.wav": 0.2 * sine(110, 3)}.items():
        (tmp_path / name).parent.mkdir()
        soundfile.write(tmp_path / name, audio.T, RATE)
    return tmp_path


def mixtures(tree: Path, **changes: object) -> Mixtures:
    """With no changes but those that are named."""
    names = vars(AugmentConfig()).keys() - {"peak_decibels"}
    config = DataConfig(
        stems={
            "vocals": {"all": Source(str(tree / "voices"))},
            "accompaniment": {"all": Source(str(tree / "music"))},
        },
        valid=str(tree),
        cache=str(tree / "cache"),
        seconds=0.5,
        augment=AugmentConfig(**{**dict.fromkeys(names, 0.0), **changes}),  # type: ignore[arg-type]
    )
    return Mixtures(config, ("vocals",), "accompaniment", RATE, [0])


def first(tree: Path, **changes: object) -> tuple[torch.Tensor, torch.Tensor]:
    item = next(iter(mixtures(tree, **changes)))
    return item["mixture"], item["targets"][0]


def test_every_worker_draws_mixtures_of_its_own(tree: Path) -> None:
    drawn = iter(DataLoader(mixtures(tree), 1, num_workers=2))
    one, other = next(drawn)["mixture"], next(drawn)["mixture"]
    assert not torch.equal(one, other)


def test_targets_are_as_loud_beside_the_residual_as_is_said(tree: Path) -> None:
    mixture, voice = first(tree, balance_decibels=-6.0)
    ratio = voice.square().mean() / (mixture - voice).square().mean()
    assert 10 * torch.log10(ratio).item() == pytest.approx(-6, abs=0.1)


def test_a_mixture_has_the_peak_that_is_said(tree: Path) -> None:
    mixture, _ = first(tree, peak_decibels=(-12.0, -12.0))
    assert 20 * torch.log10(mixture.abs().max()).item() == pytest.approx(-12, abs=0.01)


def test_segments_end_where_their_recordings_do(tree: Path) -> None:
    drawn = iter(mixtures(tree))
    for _ in range(30):
        voice = next(drawn)["targets"][0, 0]
        assert voice[:200].any()
        assert voice[-200:].any()


def test_a_silent_target_is_taken_where_others_sound(tree: Path) -> None:
    """The song is silent, then played, then sung to."""
    silence, sound = np.zeros((2, 2 * RATE)), sine(220, 2)
    song = {"vocals": [silence, silence, sound], "piano": [silence, sound, sound]}
    for stem, parts in song.items():
        (tree / "songs" / "one").mkdir(parents=True, exist_ok=True)
        soundfile.write(tree / f"songs/one/{stem}.wav", np.concatenate(parts, 1).T, RATE)
    options = mixtures(tree, silent=1.0).config
    options.shuffle, options.stems = False, {}
    options.songs = {"mine": Source(str(tree / "songs"))}
    drawn = iter(Mixtures(options, ("vocals",), "accompaniment", RATE, [0]))
    assert all(next(drawn)["mixture"].any() for _ in range(30))


def test_noise_is_not_to_be_learned(tree: Path) -> None:
    mixture, voice = first(tree)
    noisy, same = first(tree, noise=1.0)
    assert torch.equal(voice, same)
    assert (noisy - mixture).std() > 1e-5


def test_channels_are_swapped_and_inverted_as_often_as_is_said(tree: Path) -> None:
    _, voice = first(tree)
    assert voice[0].any()
    assert not voice[1].any()
    _, swapped = first(tree, swap_channels=1.0, invert=1.0)
    torch.testing.assert_close(swapped, -voice.flip(0))
