"""Open-Unmix against its own package, whose published weights it has to reproduce."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid import Separator
from unbraid.errors import ConfigError
from unbraid.models import build, checkpoint
from unbraid.spectrogram import centred_istft, centred_stft

TINY = {"hidden": 8, "layers": 2}


@pytest.fixture
def package(monkeypatch) -> ModuleType:
    """The module `openunmix.model`, which imports torchaudio but needs none of it."""
    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    return pytest.importorskip("openunmix.model")


def randomize(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            value.normal_(0, 0.2, generator=generator)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)


@pytest.mark.parametrize("samples", [20 * 1024, 20 * 1024 + 333, 2049])
def test_separates_as_the_package_does_with_the_same_weights(package, samples: int) -> None:
    theirs = package.OpenUnmix(nb_bins=2049, hidden_size=32, nb_layers=3, max_bin=1487)
    randomize(theirs)
    ours = build("openunmix", hidden=32).eval()
    ours.networks[0].load_state_dict(theirs.state_dict())
    separator = package.Separator({"vocals": theirs}, niter=0).eval()
    mixture = torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(1)) / 8
    with torch.no_grad():
        expected, found = separator(mixture), ours(mixture)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("hidden", [512, 1024])  # umxhq, umxl
def test_published_weights_have_names_and_shapes_of_ours(package, hidden: int) -> None:
    with torch.device("meta"):
        theirs = package.OpenUnmix(nb_bins=2049, hidden_size=hidden, max_bin=1487).state_dict()
        ours = build("openunmix", hidden=hidden).networks[0].state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }


@settings(max_examples=25)
@given(samples=st.one_of(st.integers(1, 5000), st.integers(1, 200000)))
def test_every_length_survives_the_spectrogram(samples: int) -> None:
    audio = torch.randn(1, 2, samples, generator=torch.Generator().manual_seed(samples))
    back = centred_istft(centred_stft(audio, 4096, 1024), samples, 4096, 1024)
    torch.testing.assert_close(back, audio, atol=1e-5, rtol=1e-5)


def test_one_network_for_each_target() -> None:
    torch.manual_seed(0)
    two = build("openunmix", targets=["vocals", "drums"], residual="other", **TINY).eval()
    mixture = torch.randn(1, 2, 9000) / 8
    with torch.no_grad():
        estimates = two(mixture)
        assert estimates.shape == (1, 2, 2, 9000)
        for number, network in enumerate(two.networks):
            one = build("openunmix", **TINY).eval()
            one.networks[0].load_state_dict(network.state_dict())
            torch.testing.assert_close(one(mixture)[:, 0], estimates[:, number])


def test_with_a_network_for_the_residual_all_share_the_mixture() -> None:
    """Exchanging the two networks exchanges vocals and accompaniment."""
    torch.manual_seed(0)
    network = build("openunmix", own_residual=True, **TINY).eval()
    for one in network.networks:
        randomize(one)
        one.output_mean.data.fill_(1.0)
    network.networks[1].output_mean.data.fill_(3.0)
    mixture = torch.randn(1, 2, 9000) / 8
    with torch.no_grad():
        vocals = network(mixture)[:, 0]
        network.networks = torch.nn.ModuleList(reversed(network.networks))
        accompaniment = network(mixture)[:, 0]
    assert vocals.square().sum() < accompaniment.square().sum() / 2
    torch.testing.assert_close(vocals + accompaniment, mixture, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("own_residual", [False, True])
def test_silence_gives_silence(own_residual: bool) -> None:
    network = build("openunmix", own_residual=own_residual, **TINY).eval()
    for one in network.networks:
        one.output_mean.data.fill_(-9.0)  # masks of zero
    with torch.no_grad():
        assert not network(torch.zeros(1, 2, 9000)).any()
        assert not network(torch.randn(1, 2, 9000)).any()


def test_learns() -> None:
    torch.manual_seed(0)
    network = build("openunmix", own_residual=True, **TINY)
    mixture = torch.randn(4, 2, 20000) / 8
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = (network(mixture) - 0.2 * mixture[:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_standardize_centres_and_scales_what_the_network_hears() -> None:
    torch.manual_seed(0)
    network = build("openunmix", **TINY)
    slope = torch.arange(1, 40001) / 40000
    mixture = torch.randn(2, 2, 40000).cumsum(-1) * slope  # loud in the bass
    network.standardize(mixture)
    one = network.networks[0]
    magnitudes = centred_stft(mixture, 4096, 1024).abs()[:, :, :1487]
    heard = (magnitudes + one.input_mean[:, None]) * one.input_scale[:, None]
    assert heard.mean((0, 1, 3)).abs().max() < 1e-3
    assert heard.std((0, 1, 3))[:100].sub(1).abs().max() < 1e-3
    network.standardize(torch.zeros(1, 2, 9000))
    assert all(parameter.isfinite().all() for parameter in network.parameters())


def test_separator_and_weight_file(tmp_path) -> None:
    torch.manual_seed(0)
    network = build("openunmix", **TINY)
    randomize(network)
    network.networks[0].bn1.running_var.fill_(1e6)  # more than a half-precision number holds
    path = tmp_path / "small.safetensors"
    checkpoint.save(
        network, path, architecture="openunmix", licence="x", data="x", dtype=torch.float16
    )
    loaded = checkpoint.load(path)
    assert loaded.networks[0].bn1.running_var.eq(1e6).all()
    mixture = np.random.default_rng(0).normal(0, 0.1, (2, 30001)).astype(np.float32)
    stems = Separator(loaded, device="cpu", segment=0.3)(mixture, 44100)
    assert np.abs(stems["vocals"]).max() > 1e-3
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)


@pytest.mark.parametrize("sizes", [{"hidden": 7}, {"hidden": 0}, {"layers": 0}, {"bandwidth": -1}])
def test_impossible_sizes(sizes: dict) -> None:
    with pytest.raises(ConfigError, match="openunmix"):
        build("openunmix", **sizes)
