"""The Wiener filter against its formulas written out, and in the separator."""

import sys
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

from unbraid import Separator
from unbraid import wiener as room
from unbraid.errors import ConfigError
from unbraid.evaluation.metrics import sdr
from unbraid.models import build
from unbraid.spectrogram import istft, stft
from unbraid.wiener import expectation_maximization, wiener

RATE = 44100


def spectra(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


def written_out(stems: np.ndarray, iterations: int) -> np.ndarray:
    """y = v·R·(Σ v·R)⁻¹·x, bin by bin and frame by frame."""
    count, _, bins, frames = stems.shape
    mixture = stems.sum(0)
    for _ in range(iterations):
        refined = np.zeros_like(stems)
        for f in range(bins):
            power = np.zeros((count, frames))
            spatial = np.zeros((count, 2, 2), complex)
            for j in range(count):
                for t in range(frames):
                    y = stems[j, :, f, t]
                    power[j, t] = (abs(y[0]) ** 2 + abs(y[1]) ** 2) / 2
                    spatial[j] += np.outer(y, y.conj())
                spatial[j] /= power[j].sum()
            for t in range(frames):
                covariances = power[:, t, None, None] * spatial
                inverse = np.linalg.inv(covariances.sum(0))
                for j in range(count):
                    refined[j, :, f, t] = covariances[j] @ inverse @ mixture[:, f, t]
        stems = refined
    return stems


@pytest.mark.parametrize(("count", "iterations"), [(2, 1), (2, 4), (3, 2)])
def test_follows_its_formulas(count: int, iterations: int) -> None:
    stems = spectra(count, 2, 4, 9)
    expected = written_out(stems.numpy(), iterations)
    found = expectation_maximization(stems, iterations)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_agrees_with_the_package_openunmix(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    package = pytest.importorskip("openunmix.filtering")
    stems = spectra(3, 2, 5, 40)
    theirs = torch.view_as_real(stems.permute(3, 2, 1, 0)).transpose(-1, -2).contiguous()
    refined, _, _ = package.expectation_maximization(theirs.clone(), theirs.sum(-1), 2, eps=1e-16)
    expected = torch.view_as_complex(refined.transpose(-1, -2).contiguous()).permute(3, 2, 1, 0)
    torch.testing.assert_close(expectation_maximization(stems, 2), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("factor", [1.0, 1e-5, 1e-9])
def test_stems_sum_to_the_mixture_and_scale_with_it(factor: float) -> None:
    stems = spectra(3, 2, 4, 9)
    stems[:, :, 1] = 0  # a silent bin
    stems[:, 1, 2] = 0  # a bin on the left alone
    stems[:, 1, 3] = stems[:, 0, 3]  # a bin in the centre
    stems[1] = 0  # a silent stem
    found = expectation_maximization(stems * factor, 3)
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(0) / factor, stems.sum(0), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        found / factor, expectation_maximization(stems, 3), atol=1e-6, rtol=0
    )
    assert not found[:, :, 1].any()
    torch.testing.assert_close(found[:, 0, 3], found[:, 1, 3])
    assert found[1].abs().max() < 1e-6 * factor


def panned(seed: int, left: float, right: float) -> torch.Tensor:
    """Noise in bursts at random frequencies, from one place: `[2, samples]`."""
    generator = torch.Generator().manual_seed(seed)
    grains = spectra(1, 513, 88, seed=seed)  # of one second
    heard = torch.rand(grains.shape, generator=generator) < 0.3
    mono = istft(grains * heard, RATE, 1024, 512)
    return (mono * torch.tensor([[left], [right]])).float() / 20


def test_rough_estimates_of_two_places_become_better() -> None:
    """Magnitudes 6 dB wrong at random, the mixture's phase: what a network of masks gives."""
    true = torch.stack([panned(0, 1.0, 0.3), panned(1, 0.4, 0.9)])
    mixture = true.sum(0)
    spectrum = stft(mixture, 4096, 1024)
    error = torch.exp2(torch.randn(spectrum.shape, generator=torch.Generator().manual_seed(2)))
    magnitude = stft(true[0], 4096, 1024).abs() * error
    rough = istft(magnitude * spectrum / spectrum.abs(), RATE, 4096, 1024)
    before = torch.stack([rough, mixture - rough])
    after = wiener(before[None], 1)[0]
    torch.testing.assert_close(after.sum(0), mixture, atol=1e-5, rtol=1e-5)
    for stem in range(2):
        assert sdr(true[stem], after[stem]) > sdr(true[stem], before[stem]) + 1


def test_a_stem_may_move_between_windows(monkeypatch) -> None:
    monkeypatch.setattr(room, "WINDOW", 20)
    one = torch.randn(1, 2, 2, 60 * 1024, generator=torch.Generator().manual_seed(0))
    other = one.clone()
    other[..., 30 * 1024 :] = other[..., 30 * 1024 :].flip(2)
    before, after = slice(0, 15 * 1024), slice(30 * 1024, None)
    one, other = wiener(one, 1), wiener(other, 1)
    assert torch.equal(one[..., before], other[..., before])
    assert not torch.equal(one[..., after], other[..., after])


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("bandsplit", features=4, hidden=4, blocks=1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 1000, 3 * RATE // 2])
def test_separator_filters_every_length(network, channels: int, samples: int) -> None:
    mixture = np.random.default_rng(0).normal(0, 0.1, (channels, samples)).astype(np.float32)
    separator = Separator(network, device="cpu", segment=0.5, wiener=2)
    stems = separator(mixture, RATE)
    assert all(stem.shape == mixture.shape for stem in stems.values())
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)
    again = separator(mixture, RATE)
    np.testing.assert_array_equal(stems["vocals"], again["vocals"])
    plain = Separator(network, device="cpu", segment=0.5)(mixture, RATE)
    assert not np.allclose(stems["vocals"], plain["vocals"], atol=1e-4)


def test_silence_gives_silence(network) -> None:
    silence = np.zeros((2, RATE), np.float32)
    for stem in Separator(network, device="cpu", segment=0.5, wiener=1)(silence, RATE).values():
        assert not stem.any()


def test_less_than_no_iteration(network) -> None:
    with pytest.raises(ConfigError, match="wiener -1"):
        Separator(network, wiener=-1)


def test_the_command_line_filters(tmp_path, model, unbraid) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.random.default_rng(0).normal(0, 0.1, (RATE // 2, 2)), RATE)
    flags = ["-o", tmp_path / "out", "--model", model, "--device", "cpu", "--wiener", 1]
    assert unbraid("separate", song, *flags).returncode == 0
    found = soundfile.read(tmp_path / "out" / "song" / "vocals.wav")[0]
    for iterations, same in [(0, False), (1, True)]:
        separator = Separator.from_pretrained(model, device="cpu", wiener=iterations)
        path = separator.separate_file(song, tmp_path / str(iterations))["vocals"]
        assert np.allclose(soundfile.read(path)[0], found, atol=2**-14) == same
