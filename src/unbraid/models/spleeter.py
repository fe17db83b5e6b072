"""Spleeter: U-Nets over magnitudes, one for each stem.

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
from unbraid.models.presence import LAYERS, Evidence, Gate
from unbraid.spectrogram import centred_istft, centred_stft, levelling

CHANNELS = 2
KERNEL, SLOPE, EPSILON = 5, 0.2, 1e-3  # of convolutions, leaky ReLUs and batch normalisation
BEFORE, AFTER = 1, 2  # rows and columns of padding that halve and double sizes exactly
DROPOUT = 0.5
DROPPED = 3  # upward layers with dropout
NEIGHBOURHOOD = 2.0  # seconds to each side that a frame's level is measured over
HANN = 8 / 3  # one over the mean square of its window, twice for half a spectrum, of two channels
QUIETEST = 1e-10  # energy at which no stem is louder than the other


@dataclass(frozen=True)
class SpleeterConfig:
    """What a `Spleeter` is made of.

    Attributes:
        targets: stems that are estimated, each by a network of its own.
        residual: name of what remains of the mixture.
        sample_rate: Hz.
        n_fft: STFT window in samples.
        hop: STFT hop in samples.
        heard: bins from 0 Hz up that the networks hear.
        extended: highest bins of those whose mean mask is that of what is above; 0: what is above
            goes to the residual.
        widths: channels of each layer downwards, each half as high and long as the one before.
        ratio: whether what remains has a network too, and each bin is divided in the ratio of the
            stems' estimated energies; else a stem's own mask is taken, at half the cost.
        level: dBFS that the RMS of two seconds to each side of a frame is brought to before it is
            heard, so that masks don't depend on the volume; None: frames are heard as they are.
        presence: width of the recurrent networks that tell where a target is absent, see
            `unbraid.models.presence`; 0: none. Not with `ratio`.
        looks: windows and hops in samples at which the networks look at the mixture again, to
            which it is lower and slower, or higher and faster; the estimates of all are averaged.
    """

    targets: tuple[str, ...] = ("vocals",)
    residual: str = "accompaniment"
    sample_rate: int = 44100
    n_fft: int = 4096
    hop: int = 1024
    heard: int = 1024
    extended: int = 0
    widths: tuple[int, ...] = (16, 32, 64, 128, 256, 512)
    ratio: bool = True
    level: float | None = None
    presence: int = 0
    looks: tuple[tuple[int, int], ...] = ()


class Spleeter(nn.Module):
    """Real masks from magnitudes, for what the networks hear of the spectrum.

    Where a target is absent is for the whole song to tell: `unbraid.gating` asks the gates.

    Args:
        config: the networks' sizes.

    Attributes:
        gates: one for each target, or none. They are no part of what separation trains: see
            `recipes/presence.py`.

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
        if not 0 <= config.extended <= config.heard:
            raise ConfigError(
                f"spleeter: extended={config.extended} must be from 0 to heard, {config.heard}"
            )
        for n_fft, hop in config.looks:
            if n_fft % 2 or not config.heard <= n_fft // 2 + 1 or not 0 < hop <= n_fft // 2:
                raise ConfigError(
                    f"spleeter: looks: give an even window of {2 * config.heard - 2} samples or "
                    f"more and a hop of half of it at most, not [{n_fft}, {hop}]"
                )
        if config.presence and config.ratio:
            raise ConfigError("spleeter: presence needs ratio=false, as shares are never zero")
        self.grid = self.multiple * config.hop  # samples; layers share their places modulo this
        stems = len(config.targets) + config.ratio
        rows = config.heard // self.multiple
        self.networks = nn.ModuleList(
            UNet(config.widths, rows, config.presence) for _ in range(stems)
        )
        targets = range(len(config.targets) if config.presence else 0)
        self.gates = nn.ModuleList(Gate(config.presence) for _ in targets).requires_grad_(False)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the targets.

        Args:
            mixture: `[b, 2, samples]` at `config.sample_rate`.

        Returns:
            `[b, targets, 2, samples]`.
        """
        return self.with_evidence(mixture)[0]

    def with_evidence(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the targets, and tell what speaks for their being there.

        Returns:
            Targets `[b, targets, 2, samples]`, and what `gates` hear of each, `[b, targets,
            features, frames]`, the same for all frames of a cell; without gates no features.
        """
        audio, evidence = self._look(mixture, self.config.n_fft, self.config.hop)
        for look in self.config.looks:
            audio = audio + self._look(mixture, *look)[0]
        audio = audio / (1 + len(self.config.looks))
        return audio, self.in_frames(evidence, mixture.shape[-1])

    def _look(self, mixture: Tensor, n_fft: int, hop: int) -> tuple[Tensor, Tensor]:
        """Estimates by a window, and evidence of its cells."""
        spectrum = centred_stft(mixture, n_fft, hop)  # [b, c, f, t]
        masks, evidence = self.masks(spectrum, hop)
        estimates = masks * spectrum.unsqueeze(1)
        return centred_istft(estimates, mixture.shape[-1], n_fft, hop), evidence

    def in_frames(self, evidence: Tensor, samples: int) -> Tensor:
        """Evidence of cells as that of the frames, a hop each, that so many samples begin."""
        frames = -(-samples // self.config.hop)
        each = evidence.unsqueeze(-1).expand(*evidence.shape, self.multiple)
        return each.flatten(3)[..., :frames]  # repeat_interleave would break the export

    def masks(self, spectrum: Tensor, hop: int) -> tuple[Tensor, Tensor]:
        """What becomes of a mixture's spectrogram.

        Args:
            spectrum: `[b, 2, f, t]`, of any window.
            hop: its frames' distance in samples.

        Returns:
            Real masks `[b, targets, 2, f, t]`, and evidence `[b, targets, features, cells]`.
        """
        bins, frames = spectrum.shape[-2:]
        heard = self.heard(spectrum, hop)
        found = [network(heard) for network in self.networks]
        masks = torch.stack([mask for mask, _ in found], dim=1).float()
        targets = len(self.config.targets)
        evidence = torch.stack([told for _, told in found[:targets]], dim=1).float()
        heard = heard[:, :, :frames]
        masks = masks[..., :frames, :]  # [b, stems, c, t, f]
        if self.config.ratio:
            energy = (masks * heard.unsqueeze(1)).square()
            rest = QUIETEST / energy.shape[1]
            masks = ((energy + rest) / (energy.sum(1, keepdim=True) + QUIETEST))[:, :-1]
        masks, above = masks.transpose(3, 4), bins - self.config.heard
        if self.config.extended:
            mean = masks[:, :, :, -self.config.extended :].mean(3, keepdim=True)
            return torch.cat([masks, mean.expand(-1, -1, -1, above, -1)], dim=3), evidence
        return functional.pad(masks, (0, 0, 0, above)), evidence

    def heard(self, spectrum: Tensor, hop: int) -> Tensor:
        """What the networks hear of a mixture's spectrogram, as loud at any window.

        Args:
            spectrum: `[b, 2, f, t]`.
            hop: its frames' distance in samples.

        Returns:
            Magnitudes `[b, 2, t, f]`, with as many frames of silence as make `t` a multiple of
            `multiple`.
        """
        n_fft = 2 * spectrum.shape[2] - 2
        heard = spectrum[:, :, : self.config.heard].abs().transpose(2, 3)
        gain: float | Tensor = self.config.n_fft / n_fft
        if self.config.level is not None:
            power = heard.square().sum((1, 3)) * HANN / n_fft**2
            neighbours = round(NEIGHBOURHOOD * self.config.sample_rate / hop)
            level = 10 ** (self.config.level / 20) * gain
            gain = (level * levelling(power, neighbours))[:, None, :, None]
        heard = heard * gain
        return functional.pad(heard, (0, 0, 0, -heard.shape[2] % self.multiple))


class UNet(nn.Module):
    """One stem's mask from the mixture's magnitudes.

    Args:
        widths: channels of each layer downwards.
        rows: rows of the deepest layer.
        presence: width of what tells the evidence for the stem; 0: nothing does.
    """

    def __init__(self, widths: tuple[int, ...], rows: int, presence: int) -> None:
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
        self.evidence = Evidence(widths[-LAYERS:], rows, presence) if presence else None
        if self.evidence is not None:
            self.evidence.requires_grad_(False)

    def forward(self, magnitudes: Tensor) -> tuple[Tensor, Tensor]:
        """Mask from 0 to 1 for the magnitudes of the mixture, `[b, 2, t, f]` as these.

        And the evidence for the stem, `[b, features, cells]`.
        """
        across = self.layers(magnitudes)
        mask, deepest = self._mask_of(across), across[-1]
        if self.evidence is None:
            return mask, deepest.new_zeros(len(deepest), 0, deepest.shape[2])
        return mask, self.evidence(across[-LAYERS:])

    def layers(self, magnitudes: Tensor) -> list[Tensor]:
        """What each layer downwards makes of the magnitudes, `[b, width, t / 2^n, f / 2^n]`."""
        x, across = magnitudes, []
        for number, down in enumerate(self.down):
            if number:
                x = functional.leaky_relu(self.down_norms[number - 1](x), SLOPE)
            x = down(functional.pad(x, (BEFORE, AFTER, BEFORE, AFTER)))
            across.append(x)
        return across

    def _mask_of(self, across: list[Tensor]) -> Tensor:
        x = across[-1]
        for number, (up, norm) in enumerate(zip(self.up, self.up_norms, strict=True)):
            if number:
                x = torch.cat([across[-1 - number], x], dim=1)
            x = norm(up(x)[..., BEFORE:-AFTER, BEFORE:-AFTER].relu())
            if number < DROPPED:
                x = functional.dropout(x, DROPOUT, self.training)
        mask: Tensor = self.mask(x).sigmoid()
        return mask
