"""Open-Unmix: a bidirectional LSTM over magnitude spectrograms, one network per target.

Stöter, Uhlich, Liutkus and Mitsufuji, "Open-Unmix: A Reference Implementation for Music Source
Separation" (JOSS 4(41), 2019), https://doi.org/10.21105/joss.01667. Layers and names are those of
the published weights, which load into it; see `unbraid.models.published`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unbraid.errors import ConfigError
from unbraid.spectrogram import centred_istft, centred_stft

CHANNELS = 2
DROPOUT = 0.4
QUIETEST = 1e-4  # of the loudest bin's deviation: a bin below it is not raised further
FAINTEST = 1e-3  # where all masks together are less, the rest of the mixture goes to the residual


@dataclass(frozen=True)
class OpenUnmixConfig:
    """What an `OpenUnmix` is made of.

    Attributes:
        targets: stems that are estimated, each by a network of its own.
        residual: name of what remains of the mixture.
        own_residual: estimate the residual by a network of its own too, and divide the mixture
            among all in the ratio of their magnitudes.
        sample_rate: Hz.
        n_fft: STFT window in samples.
        hop: STFT hop in samples.
        bandwidth: highest frequency in Hz that the networks hear; their masks reach above it.
        hidden: size of the feature vector of a frame, even.
        layers: of the LSTM.
    """

    targets: tuple[str, ...] = ("vocals",)
    residual: str = "accompaniment"
    own_residual: bool = False
    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    bandwidth: int = 16000
    hidden: int = 512
    layers: int = 3


class OpenUnmix(nn.Module):
    """Estimated magnitudes with the mixture's phase.

    Args:
        config: the networks' sizes.

    Raises:
        ConfigError: if a size is impossible.
    """

    def __init__(self, config: OpenUnmixConfig) -> None:
        super().__init__()
        if config.hidden < 2 or config.hidden % 2 or config.layers < 1:
            raise ConfigError("openunmix: hidden must be even and positive, layers at least 1")
        if config.bandwidth < 0:
            raise ConfigError(f"openunmix: bandwidth {config.bandwidth} Hz: give a positive one")
        self.config = config
        bins = config.n_fft // 2 + 1
        heard = min(bins, config.bandwidth * config.n_fft // config.sample_rate + 1)
        count = len(config.targets) + config.own_residual
        self.networks = nn.ModuleList(
            MaskNetwork(bins, heard, config.hidden, config.layers) for _ in range(count)
        )

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
        magnitudes = spectrum.abs()
        masks = torch.stack([network(magnitudes) for network in self.networks], dim=1).float()
        if not self.config.own_residual:
            return masks
        return masks[:, :-1] / masks.sum(1, keepdim=True).clamp(min=FAINTEST)

    @torch.no_grad()
    def standardize(self, mixture: Tensor) -> None:
        """Set every network's input mean and scale from mixtures, from where they are trained on.

        Args:
            mixture: `[b, 2, samples]`, of the training's kind.
        """
        magnitudes = centred_stft(mixture, self.config.n_fft, self.config.hop).abs()
        deviation, mean = torch.std_mean(magnitudes, dim=(0, 1, 3))  # [f]
        deviation = deviation.clamp(min=max(QUIETEST * float(deviation.max()), 1e-8))
        for network in self.modules():
            if isinstance(network, MaskNetwork):
                network.input_mean.copy_(-mean[: len(network.input_mean)])
                network.input_scale.copy_(1 / deviation[: len(network.input_scale)])


class MaskNetwork(nn.Module):
    """One target's network: magnitudes in, mask out.

    Args:
        bins: of the spectrogram.
        heard: how many of them from 0 Hz up the network sees.
        hidden: size of the feature vector of a frame.
        layers: of the LSTM.
    """

    def __init__(self, bins: int, heard: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.input_mean = nn.Parameter(torch.zeros(heard))
        self.input_scale = nn.Parameter(torch.ones(heard))
        self.fc1 = nn.Linear(CHANNELS * heard, hidden, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.lstm = nn.LSTM(
            hidden,
            hidden // 2,
            layers,
            bidirectional=True,
            dropout=DROPOUT if layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(2 * hidden, hidden, bias=False)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.fc3 = nn.Linear(hidden, CHANNELS * bins, bias=False)
        self.bn3 = nn.BatchNorm1d(CHANNELS * bins)
        self.output_scale = nn.Parameter(torch.ones(bins))
        self.output_mean = nn.Parameter(torch.ones(bins))

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Non-negative masks `[b, 2, f, t]` for magnitudes of the same shape."""
        frames = magnitudes.permute(3, 0, 1, 2)  # [t, b, c, f]
        t, b, c, f = frames.shape
        heard = (frames[..., : len(self.input_mean)] + self.input_mean) * self.input_scale
        x = self.bn1(self.fc1(heard.reshape(t * b, -1))).tanh()  # [t b, n]
        recurrent, _ = self.lstm(x.reshape(t, b, -1))
        recurrent = recurrent.to(x.dtype)  # cuDNN's are float16 where autocast asks for bfloat16
        x = torch.cat([x, recurrent.reshape(t * b, -1)], dim=-1)  # [t b, 2 n]
        x = self.bn2(self.fc2(x)).relu()
        x = self.bn3(self.fc3(x)).reshape(t, b, c, f)
        mask = (x * self.output_scale + self.output_mean).relu()
        return mask.permute(1, 2, 3, 0)
