from dataclasses import replace

import pytest
import torch

from unbraid.errors import ConfigError, ModelError
from unbraid.models import build
from unbraid.models.bandsplit import NEIGHBOURS, BandSplitConfig, band_bins

TINY = {"features": 8, "hidden": 8, "blocks": 1}


def test_bands_cover_every_bin_once() -> None:
    bins = band_bins(BandSplitConfig())
    assert sum(bins) == 4096 // 2 + 1
    assert min(bins) >= 1
    narrow, wide = bins[:10], bins[-6:]
    assert max(narrow) < min(wide)  # fine below 1 kHz


def test_band_without_bin_is_an_error() -> None:
    with pytest.raises(ConfigError, match="bands"):
        band_bins(replace(BandSplitConfig(), n_fft=256, hop=128))


@pytest.mark.parametrize("samples", [1, 2047, 2048, 30000])
@pytest.mark.parametrize("targets", [("vocals",), ("vocals", "drums", "bass")])
def test_shapes(samples: int, targets: tuple[str, ...]) -> None:
    model = build("bandsplit", targets=targets, residual="rest", **TINY)
    assert model(torch.randn(2, 2, samples)).shape == (2, len(targets), 2, samples)


def test_silence_gives_silence() -> None:
    assert not build("bandsplit", **TINY)(torch.zeros(1, 2, 20000)).any()


def test_every_weight_learns() -> None:
    torch.manual_seed(0)
    model = build("bandsplit", **TINY)
    model(torch.randn(1, 2, 20000)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_nothing_depends_on_the_length_but_the_recurrence() -> None:
    """Without recurrence, a frame knows its neighbours' volume and nothing else."""
    torch.manual_seed(0)
    model = build("bandsplit", features=8, hidden=8, blocks=0).eval()
    spectrum = torch.randn(1, 2, 2049, 2 * NEIGHBOURS, dtype=torch.complex64)
    with torch.inference_mode():
        whole = model.masks(spectrum)
        part = model.masks(spectrum[..., : NEIGHBOURS + 8])
    torch.testing.assert_close(part[..., :8], whole[..., :8])


@pytest.mark.parametrize("decibels", [-40.0, -12.0, 12.0])
def test_masks_do_not_depend_on_the_volume(decibels: float) -> None:
    torch.manual_seed(0)
    model = build("bandsplit", **TINY).eval()
    gain = 10 ** (decibels / 20)
    mixture = 0.1 * torch.randn(1, 2, 60000)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(gain * mixture), gain * model(mixture), rtol=1e-3, atol=1e-4 * gain
        )


def test_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no setting 'featurs'.*features"):
        build("bandsplit", featurs=8)


def test_unknown_architecture_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="bandsplit"):
        build("bandsplitter")
