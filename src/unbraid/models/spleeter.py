"""Spleeter's two stems: a U-Net over magnitudes for each, which share the mixture between them.

Hennequin, Khlif, Voituret and Moussallam, "Spleeter: a fast and efficient music source separation
tool with pre-trained models" (JOSS 5(50), 2020), https://doi.org/10.21105/joss.02154; the U-Net is
that of Jansson et al. (ISMIR 2017). The published weights load into it, see
`unbraid.models.published`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from unbraid.errors import ConfigError
from unbraid.spectrogram import centred_istft, centred_stft

CHANNELS = 2
KERNEL, SLOPE, EPSILON = 5, 0.2, 1e-3  # of convolutions, leaky ReLUs and batch normalisation
BEFORE, AFTER = 1, 2  # rows and columns of padding that halve and double sizes exactly
DROPOUT = 0.5
DROPPED = 3  # upward layers with dropout
QUIETEST = 1e-10  # energy at which no stem is louder than the other


@dataclass(frozen=True)
class SpleeterConfig:
    """What a `Spleeter` is made of.

    Attributes:
        targets: stems that are estimated, each by a network of its own.
        residual: name of what remains of the mixture, which has a network too.
        sample_rate: Hz.
        n_fft: STFT window in samples.
        hop: STFT hop in samples.
        heard: bins from 0 Hz up that the networks hear; what is above goes to the residual.
        widths: channels of each layer downwards, each half as high and long as the one before.
    """

    targets: tuple[str, ...] = ("vocals",)
    residual: str = "accompaniment"
    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    heard: int = 1024
    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)


class Spleeter(nn.Module):
    """Estimated magnitudes of all stems; each bin is divided in the ratio of their squares.

    Args:
        config: the networks' sizes.

    Raises:
        ConfigError: if a size is impossible.
    """

    def __init__(self, config: SpleeterConfig) -> None:
        super().__init__()
        self.config = config
        self.multiple = 2 ** len(config.widths)  # of frames and of bins
        if config.heard % self.multiple or not 0 < config.heard <= config.n_fft // 2 + 1:
            raise ConfigError(
                f"spleeter: heard={config.heard} must be a multiple of {self.multiple} from "
                f"{self.multiple} to {config.n_fft // 2 + 1}"
            )
        self.networks = nn.ModuleList(UNet(config.widths) for _ in (*config.targets, "residual"))

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Args:
            mixture: `[b, 2, samples]` at `config.sample_rate`.

        Returns:
            `[b, targets, 2, samples]`.
        """
        spectrum = centred_stft(mixture, self.config.n_fft, self.config.hop)  # [b, c, f, t]
        estimates = self.masks(spectrum) * spectrum.unsqueeze(1)
        return centred_istft(estimates, mixture.shape[-1], self.config.n_fft, self.config.hop)

    def masks(self, spectrum: Tensor) -> Tensor:
        """Real masks `[b, targets, 2, f, t]` for a mixture's spectrogram `[b, 2, f, t]`."""
        bins, frames = spectrum.shape[-2:]
        heard = spectrum[:, :, : self.config.heard].abs().transpose(2, 3)  # [b, c, t, f]
        padded = functional.pad(heard, (0, 0, 0, -frames % self.multiple))
        stems = torch.stack([network(padded) for network in self.networks], dim=1).float()
        energy = stems[..., :frames, :].square()  # [b, stems, c, t, f]
        shares = (energy + QUIETEST / energy.shape[1]) / (energy.sum(1, keepdim=True) + QUIETEST)
        return functional.pad(shares[:, :-1].transpose(3, 4), (0, 0, 0, bins - self.config.heard))


class UNet(nn.Module):
    """One stem's magnitudes from those of the mixture.

    Args:
        widths: channels of each layer downwards.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, KERNEL, stride=2) for before, after in pairwise((2, *widths))
        )
        self.down_norms = nn.ModuleList(nn.BatchNorm2d(width, EPSILON) for width in widths[:-1])
        above = (*widths[-2::-1], 1)
        below = (widths[-1], *(2 * width for width in above[:-1]))  # with the layer across
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(before, after, KERNEL, stride=2)
            for before, after in zip(below, above, strict=True)
        )
        self.up_norms = nn.ModuleList(nn.BatchNorm2d(width, EPSILON) for width in above)
        self.mask = nn.Conv2d(1, CHANNELS, 4, dilation=2, padding=3)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes `[b, 2, t, f]` of the stem for those of the mixture, of the same shape."""
        x, across = magnitudes, []
        for number, down in enumerate(self.down):
            if number:
                x = functional.leaky_relu(self.down_norms[number - 1](x), SLOPE)
            x = down(functional.pad(x, (BEFORE, AFTER, BEFORE, AFTER)))
            across.append(x)
        for number, (up, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            if number:
                x = torch.cat([across[-1 - number], x], dim=1)
            x = norm(up(x)[..., BEFORE:-AFTER, BEFORE:-AFTER].relu())
            if number < DROPPED:
                x = functional.dropout(x, DROPOUT, self.training)
        return self.mask(x).sigmoid() * magnitudes
