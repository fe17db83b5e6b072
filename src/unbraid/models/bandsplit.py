"""Band-split dual-path RNN.

After Luo and Yu, "Music Source Separation with Band-split RNN" (TASLP 2023),
https://arxiv.org/abs/2209.15174, with level-compressed magnitudes of left, right, mid and side
among its inputs, and without any normalisation over time but of the volume of a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from unbraid.dualpath import DualPathBlock
from unbraid.errors import ConfigError
from unbraid.spectrogram import istft, levelling, stft

INPUTS_PER_BIN = 8  # magnitudes of left, right, mid, side; real and imaginary of left, right
OUTPUTS_PER_BIN = 4  # real and imaginary part of the mask of left, right
COMPRESSION = 0.3  # exponent on magnitudes: 12 dB between sounds become a factor of 1.5
LEVEL = 10 ** (-18 / 20)  # RMS that mixtures are brought to, so that masks don't depend on volume
NEIGHBOURS = 43  # frames to each side that a frame's level is measured over, two seconds by default


@dataclass(frozen=True)
class BandSplitConfig:
    """What a `BandSplit` network is made of.

    Attributes:
        targets: stems that the network estimates.
        residual: name of what remains of the mixture.
        sample_rate: Hz.
        n_fft: STFT window in samples.
        hop: STFT hop in samples.
        bands: pairs of (how many, width in Hz) from 0 Hz up; one more band takes the rest.
        features: size N of the feature vector of each band and frame.
        hidden: LSTM units per direction.
        blocks: number of dual-path blocks.
    """

    targets: tuple[str, ...] = ("vocals",)
    residual: str = "accompaniment"
    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 2048
    bands: tuple[tuple[int, int], ...] = ((10, 100), (12, 250), (8, 500), (4, 2000))
    features: int = 96
    hidden: int = 96
    blocks: int = 4


class BandSplit(nn.Module):
    """STFT, one encoder per band, dual-path blocks over time and bands, one mask head per band.

    Args:
        config: the network's sizes.

    Raises:
        ConfigError: if the bands leave no bin for one of them.
    """

    def __init__(self, config: BandSplitConfig) -> None:
        super().__init__()
        self.config = config
        self.band_bins = band_bins(config)
        n, outputs = config.features, OUTPUTS_PER_BIN * len(config.targets)
        self.encoders = nn.ModuleList(
            nn.Linear(INPUTS_PER_BIN * bins, n) for bins in self.band_bins
        )
        self.blocks = nn.ModuleList(DualPathBlock(n, config.hidden) for _ in range(config.blocks))
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(n),
                nn.Linear(n, 2 * n),
                nn.Tanh(),
                nn.Linear(2 * n, 2 * outputs * bins),
                nn.GLU(dim=-1),
            )
            for bins in self.band_bins
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Args:
            mixture: `[b, 2, samples]` at `config.sample_rate`.

        Returns:
            `[b, targets, 2, samples]`.
        """
        spectrum = stft(mixture, self.config.n_fft, self.config.hop)  # [b, c, f, t]
        estimates = self.masks(spectrum) * spectrum.unsqueeze(1)
        return istft(estimates, mixture.shape[-1], self.config.n_fft, self.config.hop)

    def masks(self, spectrum: Tensor) -> Tensor:
        """Complex masks `[b, targets, 2, f, t]` for a mixture's spectrogram `[b, 2, f, t]`."""
        return torch.view_as_complex(self.real_masks(torch.view_as_real(spectrum)).contiguous())

    def real_masks(self, spectrum: Tensor) -> Tensor:
        """`masks` on pairs of real numbers: `[b, targets, 2, f, t, 2]` for `[b, 2, f, t, 2]`."""
        inputs = _inputs(_levelled(spectrum))  # [t, b, f, INPUTS_PER_BIN]
        x = torch.stack(
            [
                encode(band.flatten(2))
                for encode, band in zip(
                    self.encoders, inputs.split(self.band_bins, dim=2), strict=True
                )
            ],
            dim=2,
        )  # [t, b, k, n]
        for block in self.blocks:
            x = block(x)
        t, b = x.shape[:2]
        targets = len(self.config.targets)
        outputs = [
            head(x[:, :, band]).reshape(t, b, targets, 2, bins, 2)
            for band, (head, bins) in enumerate(zip(self.heads, self.band_bins, strict=True))
        ]
        return torch.cat(outputs, dim=4).permute(1, 2, 3, 4, 0, 5).float()


def band_bins(config: BandSplitConfig) -> list[int]:
    """Number of STFT bins in each band, from low to high; their sum is `n_fft // 2 + 1`."""
    bins = config.n_fft // 2 + 1
    hertz_per_bin = config.sample_rate / config.n_fft
    edges, frequency = [0], 0
    for count, width in config.bands:
        for _ in range(count):
            frequency += width
            edges.append(round(frequency / hertz_per_bin))
    edges.append(bins)
    sizes = [high - low for low, high in pairwise(edges)]
    if min(sizes) < 1:
        raise ConfigError(
            f"bands: {config.bands} leave a band without a bin at {hertz_per_bin:.1f} Hz per bin "
            f"up to {config.sample_rate // 2} Hz; use wider or fewer bands"
        )
    return sizes


def _levelled(spectrum: Tensor) -> Tensor:
    """Scale each frame of `[b, 2, f, t, 2]` by what brings its neighbourhood to `LEVEL`."""
    n_fft = 2 * (spectrum.shape[2] - 1)
    power = spectrum.square().sum((1, 2, 4)) * 2 / n_fft**2  # [b, t], mean square
    return spectrum * (LEVEL * levelling(power, NEIGHBOURS))[:, None, None, :, None]


def _inputs(spectrum: Tensor) -> Tensor:
    """Compressed magnitudes and directions `[t, b, f, INPUTS_PER_BIN]` of `[b, 2, f, t, 2]`."""
    parts = spectrum.permute(3, 0, 2, 1, 4)  # [t, b, f, c, 2]
    left, right = parts.unbind(3)
    four = torch.stack([left, right, (left + right) / 2, (left - right) / 2], dim=3)
    power = four.square().sum(-1)  # [t, b, f, 4]
    directions = parts * (power[..., :2, None] + 1e-16) ** ((COMPRESSION - 1) / 2)
    return torch.cat([power ** (COMPRESSION / 2), directions.flatten(3)], dim=-1)
