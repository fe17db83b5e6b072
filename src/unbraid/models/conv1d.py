"""Convolutions on the waveform: the time-domain baseline of the comparison."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from unbraid.errors import ConfigError


@dataclass(frozen=True)
class Conv1dConfig:
    """What a `Conv1d` network is made of.

    Attributes:
        targets: stems that the network estimates.
        residual: name of what remains of the mixture.
        sample_rate: Hz.
        channels: of each hidden layer.
        kernel: of every convolution, in samples, odd.
    """

    targets: tuple[str, ...] = ("vocals",)
    residual: str = "accompaniment"
    sample_rate: int = 44100
    channels: tuple[int, ...] = (32, 64, 32)
    kernel: int = 15


class Conv1d(nn.Module):
    """Convolutions with rectifiers between them; each sample sees 28 to either side by default.

    Args:
        config: the network's sizes.

    Raises:
        ConfigError: if the kernel has no middle, or a layer no channels.
    """

    def __init__(self, config: Conv1dConfig) -> None:
        super().__init__()
        if config.kernel < 1 or config.kernel % 2 == 0:
            raise ConfigError(f"kernel {config.kernel}: give an odd number of samples")
        if min(config.channels, default=1) < 1:
            raise ConfigError(f"channels {list(config.channels)}: give each layer 1 or more")
        self.config = config
        widths = (2, *config.channels, 2 * len(config.targets))
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Conv1d(width_in, width_out, config.kernel, padding="same"), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Args:
            mixture: `[b, 2, samples]` at `config.sample_rate`.

        Returns:
            `[b, targets, 2, samples]`.
        """
        with torch.autocast(mixture.device.type, enabled=False):  # bfloat16 is audio of 8 bits
            estimates: Tensor = self.layers(mixture.float())
        return estimates.unflatten(1, (len(self.config.targets), 2))
