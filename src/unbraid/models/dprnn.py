"""Dual-path RNN over chunks of spectrogram frames, with a convolutional mask head.

After Luo, Chen and Yoshioka, "Dual-path RNN" (ICASSP 2020), https://arxiv.org/abs/1910.06379, whose
learned encoder is replaced by an STFT, and Park et al., "SpecAugment" (Interspeech 2019),
https://arxiv.org/abs/1904.08779.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from unbraid.causal import filtered, minimum_phase, past_stft
from unbraid.dualpath import ChunkBlock, chunked, overlap_added
from unbraid.errors import ConfigError
from unbraid.spectrogram import istft, stft

MAGNITUDE_FLOOR = 1e-4  # -80 dBFS; sound below it counts as silence
MASKS_PER_AXIS = 2  # of SpecAugment


@dataclass(frozen=True)
class DPRNNConfig:
    """What a `DPRNN` is made of.

    The window resolves the partials of a voice (10.8 Hz a bin); the hop is that of consonants
    (23 ms), and gives a segment of six seconds 260 frames, which a chunk of 24 cuts into 23: both
    recurrences are short, which is what chunks are for.

    Attributes:
        targets: stems that the network estimates.
        residual: name of what remains of the mixture.
        sample_rate: Hz.
        n_fft: STFT window in samples.
        hop: STFT hop in samples.
        features: size N of a frame's feature vector.
        hidden: LSTM units per direction.
        blocks: number of dual-path blocks.
        chunk: frames of a chunk, even.
        maps: spectrograms that the mask head makes of each feature vector.
        causal: whether no sample of the output depends on a later one of the input, see
            `unbraid.causal`: both recurrences run forwards, the head's convolutions look back,
            frames end before the samples that their masks are applied to, and masks become
            filters. There is no latency.
        frequency_mask: largest width of SpecAugment's masks in bins.
        time_mask: their largest length in frames.
    """

    targets: tuple[str, ...] = ("vocals",)
    residual: str = "accompaniment"
    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    features: int = 96
    hidden: int = 128
    blocks: int = 3
    chunk: int = 24
    maps: int = 4
    causal: bool = False
    frequency_mask: int = 160
    time_mask: int = 20


class DPRNN(nn.Module):
    """Log magnitudes, one feature vector a frame, dual-path blocks over chunks, masks.

    Normalisation sees one frame at a time, so nothing depends on the length of the input.

    Args:
        config: the network's sizes.

    Raises:
        ConfigError: if chunks can't overlap by half, or there are no maps.
    """

    def __init__(self, config: DPRNNConfig) -> None:
        super().__init__()
        if config.chunk < 2 or config.chunk % 2:
            raise ConfigError(f"chunk {config.chunk}: give an even number of frames")
        if config.maps < 1:
            raise ConfigError(f"maps {config.maps}: give 1 or more")
        self.config = config
        bins, n, maps = config.n_fft // 2 + 1, config.features, config.maps
        self.encoder = nn.Linear(2 * bins, n)
        self.blocks = nn.ModuleList(
            ChunkBlock(n, config.hidden, config.causal) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(n)
        self.decoder = nn.Linear(n, maps * bins)
        self.head = nn.Sequential(
            TimeFrequencyConv(maps + 2, 2 * maps, config.causal),
            nn.PReLU(),
            TimeFrequencyConv(2 * maps, 2 * len(config.targets), config.causal),
            nn.Sigmoid(),
        )

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Args:
            mixture: `[b, 2, samples]` at `config.sample_rate`.

        Returns:
            `[b, targets, 2, samples]`.
        """
        n_fft, hop, samples = self.config.n_fft, self.config.hop, mixture.shape[-1]
        if self.config.causal:
            masks = self.masks(past_stft(mixture, n_fft, hop))
            return filtered(mixture.unsqueeze(1), minimum_phase(masks), hop)
        spectrum = stft(mixture, n_fft, hop)  # [b, c, f, t]
        masks = self.masks(spectrum).transpose(-1, -2)
        return istft(masks * spectrum.unsqueeze(1), samples, n_fft, hop)

    def masks(self, spectrum: Tensor) -> Tensor:
        """Masks `[b, targets, 2, t, f]`, 0 to 1, for a mixture's spectrogram `[b, 2, f, t]`."""
        magnitude = spectrum.transpose(-1, -2).abs() / self.config.n_fft**0.5
        inputs = (magnitude / MAGNITUDE_FLOOR).log1p()  # [b, c, t, f], silence is 0
        if self.training:
            inputs = self._spec_augment(inputs)
        t, f = inputs.shape[-2:]
        x = self.encoder(inputs.permute(2, 0, 1, 3).flatten(2))  # [t, b, n]
        x = chunked(x, self.config.chunk)
        for block in self.blocks:
            x = block(x)
        x = self.decoder(self.norm(overlap_added(x, t)))  # [t, b, maps * f]
        x = x.unflatten(-1, (-1, f)).permute(1, 2, 0, 3)  # [b, maps, t, f]
        masks: Tensor = self.head(torch.cat([x, inputs.to(x.dtype)], dim=1)).float()
        return masks.unflatten(1, (-1, 2))

    def _spec_augment(self, inputs: Tensor) -> Tensor:
        """Silence bands and stretches of time, others in each example of `[b, c, t, f]`."""
        b, _, t, f = inputs.shape
        for _ in range(MASKS_PER_AXIS):
            kept = _without_span(b, f, self.config.frequency_mask, inputs)
            inputs = inputs * kept[:, None, None, :]
            kept = _without_span(b, t, self.config.time_mask, inputs)
            inputs = inputs * kept[:, None, :, None]
        return inputs


class TimeFrequencyConv(nn.Module):
    """Convolution of three frames by three bins that keeps the size.

    Args:
        maps_in: channels of the input.
        maps_out: channels of the output.
        causal: whether a frame sees the two before it, instead of both neighbours.
    """

    def __init__(self, maps_in: int, maps_out: int, causal: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps_in, maps_out, 3)
        self.padding = (1, 1, 2, 0) if causal else (1, 1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[b, maps_in, t, f]` to `[b, maps_out, t, f]`."""
        y: Tensor = self.conv(functional.pad(x, self.padding))
        return y


def _without_span(b: int, size: int, longest: int, like: Tensor) -> Tensor:
    """Ones `[b, size]` with a random span of at most `longest` zeros in each row."""
    width = torch.rand(b, 1, device=like.device) * min(longest, size)
    start = torch.rand(b, 1, device=like.device) * (size - width)
    index = torch.arange(size, device=like.device)
    return ((index < start) | (index >= start + width)).to(like.dtype)
