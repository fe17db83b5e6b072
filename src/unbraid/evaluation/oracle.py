"""Upper bounds: separation by masks and filters computed from the true stems.

After the oracle scripts of SiSEC 2018, https://github.com/sigsep/sigsep-mus-oracle, but in the
spectrogram of this package: its square-root Hann window lets the same mask reach 0.2 to 0.7 dB more
SDR than SiSEC's Hann window. Tracks are processed in blocks, with enough context that the result
is that of the whole track at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unbraid.errors import DataError
from unbraid.evaluation.metrics import Audio
from unbraid.spectrogram import istft, stft

Separate = Callable[[Tensor], Tensor]

_BLOCK = 1 << 19  # samples at a time, so that memory does not grow with the track
_TINY = 1e-15  # keeps silent bins from dividing by zero
_LOADING = 1e-10  # of the mean eigenvalue: keeps a voice in the centre from a singular covariance


def ideal_ratio_mask(
    stems: Mapping[str, Audio], power: int = 2, n_fft: int = 2048, hop: int = 1024
) -> dict[str, Audio]:
    """Estimates by the ideal soft mask |S_j|^power / Σ|S|^power: IRM1 or IRM2, channel by channel.

    Args:
        stems: the true stems, `[channels, samples]` each; their sum is the mixture.
        power: 1 for magnitudes, 2 for powers.
        n_fft: window length in samples.
        hop: distance of frames in samples, a divisor of `n_fft // 2`.

    Returns:
        The estimate of each stem, of the stem's shape and kind of array, float32.

    Raises:
        DataError: if there is no stem, or stems differ in shape.
    """
    audio = _stack(stems)
    grid = _Grid(audio.shape[-1], n_fft, hop)

    def separate(spectra: Tensor) -> Tensor:
        models = spectra.abs() ** power
        return spectra.sum(0) * models / (models.sum(0) + _TINY)

    return _like(stems, _process(audio, grid, separate))


def multichannel_wiener(
    stems: Mapping[str, Audio], n_fft: int = 2048, hop: int = 1024
) -> dict[str, Audio]:
    """Estimates by the ideal multichannel Wiener filter P_j·R_j·(Σ P·R)⁻¹.

    In the local Gaussian model, each stem has one spatial covariance R_j of full rank per bin for
    the whole track, and a power P_j for every bin and frame (Duong, Vincent, Gribonval, IEEE
    TASLP 18(7), 2010).

    Args:
        stems: the true stems, `[channels, samples]` each; their sum is the mixture.
        n_fft: window length in samples.
        hop: distance of frames in samples, a divisor of `n_fft // 2`.

    Returns:
        The estimate of each stem, of the stem's shape and kind of array, float32.

    Raises:
        DataError: if there is no stem, or stems differ in shape.
    """
    audio = _stack(stems)
    grid = _Grid(audio.shape[-1], n_fft, hop)
    spatial = _spatial_covariances(audio, grid)  # (j, f, c, d)
    inverse = torch.linalg.inv(spatial)
    channels = audio.shape[1]
    eye = torch.eye(channels, dtype=spatial.dtype)

    def separate(spectra: Tensor) -> Tensor:
        observed = torch.einsum("jcft,jfcd,jdft->jft", spectra.conj(), inverse, spectra)
        powers = observed.real / channels
        mixture = torch.einsum("jft,jfcd->ftcd", powers.to(spatial.dtype), spatial)
        loading = _LOADING * powers.sum(0) + _TINY
        filtered = torch.linalg.solve(
            mixture + loading[..., None, None] * eye, spectra.sum(0).permute(1, 2, 0)
        )
        return torch.einsum("jft,jfcd,ftd->jcft", powers.to(spatial.dtype), spatial, filtered)

    return _like(stems, _process(audio, grid, separate))


@dataclass(frozen=True)
class _Grid:
    """STFT frames of a track, in blocks that share the frames of the whole."""

    samples: int
    n_fft: int
    hop: int

    def blocks(self) -> Iterator[tuple[slice, slice]]:
        """Samples of each block, and those of them that the STFT sees: the context included."""
        block = -(-_BLOCK // self.hop) * self.hop
        context = -(-self.n_fft // self.hop) * self.hop
        for start in range(0, self.samples, block):
            stop = min(start + block, self.samples)
            yield slice(start, stop), slice(max(start - context, 0), stop + context)

    def stft(self, audio: Tensor) -> Tensor:
        return stft(audio.double(), self.n_fft, self.hop)


def _spatial_covariances(audio: Tensor, grid: _Grid) -> Tensor:
    """Mean over frames of each stem's covariance at unit power, `(j, f, c, d)`."""
    total = torch.zeros((), dtype=torch.complex128)
    for own, seen in grid.blocks():
        spectra = grid.stft(audio[..., seen])
        first = (own.start - seen.start) // grid.hop
        frames = None if own.stop == grid.samples else first + (own.stop - own.start) // grid.hop
        spectra = spectra[..., first:frames]  # each frame of the track once
        unit = spectra / (spectra.abs().square().mean(1, keepdim=True) + _TINY).sqrt()
        total = total + torch.einsum("jcft,jdft->jfcd", unit, unit.conj())
    channels = audio.shape[1]
    trace = total.diagonal(dim1=-2, dim2=-1).sum(-1).real
    scale = channels / (trace + _TINY)
    return total * scale[..., None, None] + _LOADING * torch.eye(channels)


def _process(audio: Tensor, grid: _Grid, separate: Separate) -> Tensor:
    """Stems `[stems, channels, samples]` through a function of their spectra `(j, c, f, t)`."""
    out = torch.empty(audio.shape, dtype=torch.float32)
    for own, seen in grid.blocks():
        piece = audio[..., seen]
        estimates = istft(separate(grid.stft(piece)), piece.shape[-1], grid.n_fft, grid.hop)
        offset = own.start - seen.start
        out[..., own] = estimates[..., offset : offset + own.stop - own.start]
    return out


def _stack(stems: Mapping[str, Audio]) -> Tensor:
    shapes = {name: tuple(audio.shape) for name, audio in stems.items()}
    if len(set(shapes.values())) != 1 or any(len(s) != 2 or 0 in s for s in shapes.values()):
        raise DataError(f"stems {shapes}: give them all as [channels, samples] of one length")
    return torch.stack([torch.as_tensor(audio).detach().cpu() for audio in stems.values()])


def _like(stems: Mapping[str, Audio], estimates: Tensor) -> dict[str, Audio]:
    return {
        name: estimate.to(stem.device) if isinstance(stem, Tensor) else estimate.numpy()
        for (name, stem), estimate in zip(stems.items(), estimates, strict=True)
    }
