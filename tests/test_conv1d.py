import numpy as np
import pytest
import torch

from unbraid import Separator
from unbraid.errors import ConfigError
from unbraid.models import build
from unbraid.models.checkpoint import load, save


@pytest.mark.parametrize("samples", [*range(1, 32), 5000])
def test_shapes(samples: int) -> None:
    model = build("conv1d")
    assert model(torch.randn(2, 2, samples)).shape == (2, 1, 2, samples)


def test_layers_are_those_of_the_report() -> None:
    model = build("conv1d")
    shapes = [tuple(weight.shape) for weight in model.parameters() if weight.dim() == 3]
    assert shapes == [(32, 2, 15), (64, 32, 15), (32, 64, 15), (2, 32, 15)]
    assert (model(torch.randn(1, 2, 4000)) < 0).any()  # the last layer is linear


def test_each_target_has_its_channels() -> None:
    model = build("conv1d", targets=("vocals", "drums"), residual="rest", channels=(4,), kernel=3)
    mixture = torch.randn(3, 2, 100)
    flat = model.layers(mixture)
    torch.testing.assert_close(model(mixture)[:, 1], flat[:, 2:])


def test_a_sample_sees_its_neighbourhood_alone() -> None:
    torch.manual_seed(0)
    model = build("conv1d", channels=(4, 4, 4)).eval()
    mixture = torch.randn(1, 2, 400)
    other = mixture.clone()
    other[..., 200] += 1
    changed = (model(mixture) != model(other)).any(2).squeeze().nonzero()
    reach = 4 * (15 // 2)
    assert (int(changed.min()), int(changed.max())) == (200 - reach, 200 + reach)


def test_autocast_leaves_the_waveform_in_full_precision() -> None:
    model = build("conv1d", channels=(4,)).eval()
    mixture = torch.randn(1, 2, 1000)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(mixture)
    assert torch.equal(half, model(mixture))


@pytest.mark.parametrize("kernel", [0, 4, -1])
def test_kernel_without_middle_is_an_error(kernel: int) -> None:
    with pytest.raises(ConfigError, match="odd"):
        build("conv1d", kernel=kernel)


@pytest.mark.parametrize("channels", [(0,), (4, 0), (0, -4)])
def test_layer_without_channels_is_an_error(channels: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"^channels \[.*0.*\]: give each layer 1 or more$"):
        build("conv1d", channels=channels)


@pytest.mark.parametrize("samples", [1, 31, 30000])
def test_separator_separates_with_saved_weights(tmp_path, samples: int) -> None:
    model = build("conv1d", channels=(4, 4))
    path = tmp_path / "tiny.safetensors"
    save(model, path, architecture="conv1d", licence="", data="")
    mixture = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    stems = Separator(load(path), segment=0.2)(mixture, 44100)
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)
    whole = model(torch.from_numpy(mixture)[None])[0, 0].detach().numpy()
    seen = slice(21, samples - 21)  # three layers of seven samples from the ends
    np.testing.assert_allclose(stems["vocals"][:, seen], whole[:, seen], atol=1e-4)
