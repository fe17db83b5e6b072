"""BSS Eval v4 as museval computes it, with the work batched and the memory bounded.

With s a reference, ŝ its estimate, P_j the projection of ŝ on the delayed channels of s and P
that on the delayed channels of all references (delays 0…511):
SDR = Σs²/Σ(s-ŝ)² · ISR = Σs²/Σ(P_j-s)² · SIR = ΣP_j²/Σ(P-P_j)² · SAR = ΣP²/Σ(ŝ-P)².
The filters are solved once a track; the energies are sums over the frame and all channels.

Stöter, Liutkus, Ito: "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018;
reference implementation https://github.com/sigsep/sigsep-mus-eval.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from unbraid.errors import DataError
from unbraid.evaluation.metrics import Audio, frame_sdr, in_seconds

FILTERED = ("ISR", "SIR", "SAR")  # by projections, which lossy-coded references spoil
METRICS = ("SDR", *FILTERED)

_TAPS = 512
_EPS = float(np.finfo(np.float64).eps)  # all that keeps museval's equations regular
_BLOCK = 4096 - _TAPS + 1  # samples correlated at once: a fast FFT, sums that stay in the cache
_BATCH = 8  # blocks at a time
_FRAMES = 2  # frames projected at a time


def bsseval_v4(
    references: Audio,
    estimates: Audio,
    sample_rate: int = 44100,
    device: str | torch.device = "cpu",
) -> dict[str, NDArray[np.float64]]:
    """SDR, ISR, SIR and SAR of every full second, as museval has them in its v4 mode.

    Estimates are cut or zero-padded to the length of the references. A frame in which the
    channels of any reference or estimate sum to exactly 0 throughout is NaN for all sources.

    ISR, SIR and SAR need references of full bandwidth, or with the noise floor of 16-bit files,
    as MUSDB18 has: on low-passed or lossy-coded audio in float, the filters run wild where the
    references hold nothing, in museval as well, whose SIR may then fall by 10 dB.

    Args:
        references: true stems of one scenario, `[sources, channels, samples]`.
        estimates: separated stems in the same order, `[sources, channels, samples]`.
        sample_rate: in Hz; a frame is one second.
        device: where to compute, in float64.

    Returns:
        For each of "SDR", "ISR", "SIR" and "SAR" the dB `[sources, frames]`.

    Raises:
        DataError: if sources or channels differ in number, or they hold no samples.
    """
    s, e = _scenario(references, estimates, torch.device(device))
    scores = {"SDR": frame_sdr(s, e, sample_rate)}
    audible = ~np.isnan(scores["SDR"]).any(0)
    for metric in FILTERED:
        scores[metric] = np.full_like(scores["SDR"], np.nan)
    if not audible.any():
        return scores
    seconds = [in_seconds(audio, sample_rate) for audio in (s, e)]
    size = _fast_length(seconds[0].shape[-1] + _TAPS - 1)
    joint, own = (torch.fft.rfft(taps, size) for taps in _projection_filters(s, e))
    scored = np.flatnonzero(audible)
    for frames in np.split(scored, range(_FRAMES, len(scored), _FRAMES)):
        true, separated = (_spectra(audio[:, :, frames], size) for audio in seconds)
        ratios = _projection_ratios(true, separated, joint, own)
        for metric, ratio in zip(FILTERED, ratios, strict=True):
            scores[metric][:, frames] = ratio.cpu().numpy()
    return scores


def _scenario(references: Audio, estimates: Audio, device: torch.device) -> tuple[Tensor, Tensor]:
    s, e = (torch.as_tensor(audio).detach().to(device) for audio in (references, estimates))
    if s.ndim == 3 and not s.numel():
        raise DataError("the references are empty: there is nothing to score")
    if s.ndim != 3 or s.shape[:2] != e.shape[:2]:
        raise DataError(
            f"references {list(s.shape)} and estimates {list(e.shape)} do not match: "
            "give both as [sources, channels, samples]"
        )
    missing = s.shape[-1] - e.shape[-1]
    return s, functional.pad(e, (0, missing)) if missing > 0 else e[..., : s.shape[-1]]


def _projection_filters(references: Tensor, estimates: Tensor) -> tuple[Tensor, Tensor]:
    """Filters of P and of P_j, over the whole track.

    Returns:
        `[sources * channels, sources, channels, taps]`: from which channel of the references
        into which channel of the projection of which estimate; and
        `[sources, channels, channels, taps]`, within each source.
    """
    sources, channels, _ = references.shape
    inputs = references.flatten(0, 1)
    lags = _correlate(inputs, estimates.flatten(0, 1))
    gram = _gram(lags[:, : len(inputs)])  # (a, tap, b, tap)
    cross = lags[:, len(inputs) :].transpose(1, 2)  # (a, tap, estimate's channel)
    joint = _solve(gram, cross, _distinct(inputs))
    own = []
    for source in range(sources):
        rows = slice(source * channels, (source + 1) * channels)
        kept = _distinct(references[source])
        own.append(_solve(gram[rows, :, rows], cross[rows, :, rows], kept))
    return joint.unflatten(1, (sources, channels)), torch.stack(own)


def _distinct(channels: Tensor) -> list[int]:
    """Channels that repeat no earlier one: a voice in the centre would make a singular system."""
    kept: list[int] = []
    for index, channel in enumerate(channels):
        if not any(torch.equal(channel, channels[earlier]) for earlier in kept):
            kept.append(index)
    return kept


def _correlate(references: Tensor, estimates: Tensor) -> Tensor:
    """Correlations Σ_t x_a[t]·z_b[t + lag] of references with references and estimates.

    Args:
        references: x, `[inputs, samples]`.
        estimates: `[inputs, samples]`; z is the references, then the estimates.

    Returns:
        `[inputs, 2 * inputs, taps]`, float64, for lags 0…511.
    """
    size = _BLOCK + _TAPS - 1
    total = references.shape[-1]
    shape = (len(references), 2 * len(references), size // 2 + 1)
    spectrum = torch.zeros(shape, dtype=torch.complex128, device=references.device)
    for start in range(0, total, _BATCH * _BLOCK):
        blocks = min(_BATCH, -(-(total - start) // _BLOCK))
        reach = slice(start, start + blocks * _BLOCK + _TAPS - 1)
        z = torch.cat([references[:, reach], estimates[:, reach]]).double()
        missing = blocks * _BLOCK + _TAPS - 1 - z.shape[-1]
        z = functional.pad(z, (0, missing)).unfold(-1, size, _BLOCK)  # (b, block, samples)
        x = torch.fft.rfft(z[: len(references), :, :_BLOCK], size).conj().resolve_conj()
        spectra = torch.fft.rfft(z)
        for block in range(blocks):
            spectrum.addcmul_(x[:, None, block], spectra[None, :, block])
    return torch.fft.irfft(spectrum, size)[..., :_TAPS]


def _gram(lags: Tensor) -> Tensor:
    """Inner products of all delayed channels, `[inputs, taps, inputs, taps]`, Toeplitz by block."""
    both = torch.cat([lags.transpose(0, 1)[..., 1:].flip(-1), lags], -1)  # lags -511…511
    tap = torch.arange(_TAPS, device=lags.device)
    return both[:, :, _TAPS - 1 + tap[:, None] - tap].transpose(1, 2)


def _solve(gram: Tensor, cross: Tensor, kept: list[int]) -> Tensor:
    """Least-squares filters of the kept inputs, and zeros for those that repeat one of them.

    Args:
        gram: `(a, tap, b, tap)`.
        cross: `(a, tap, channel)`.
        kept: the inputs a and b that differ from each other.

    Returns:
        `(a, channel, tap)`.
    """
    matrix = gram[kept][:, :, kept].flatten(2).flatten(0, 1)
    right = cross[kept].flatten(0, 1)
    filters = torch.zeros_like(cross)
    filters[kept] = _solution(matrix, right).unflatten(0, (len(kept), _TAPS))
    return filters.transpose(1, 2)


def _solution(matrix: Tensor, right: Tensor) -> Tensor:
    """Solution by the fastest method that the matrix is regular enough for."""
    eye = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    factor, indefinite = torch.linalg.cholesky_ex(matrix + _EPS * eye)
    if not indefinite:
        return torch.cholesky_solve(right, factor)
    solution, singular = torch.linalg.solve_ex(matrix + _EPS * eye, right)
    return _least_squares(matrix, right) if singular else solution


def _least_squares(matrix: Tensor, right: Tensor) -> Tensor:
    """Solution of minimum norm, for channels that depend on each other."""
    values, vectors = torch.linalg.eigh(matrix)
    weights = torch.where(values > values[-1] * len(values) * _EPS, 1 / values, 0)
    return vectors @ (weights[:, None] * (vectors.T @ right))


def _projection_ratios(
    references: Tensor, estimates: Tensor, joint: Tensor, own: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """ISR, SIR and SAR of some frames, all energies taken of spectra (Parseval).

    Args:
        references: `[frames, sources, channels, bins]`, from `_spectra`.
        estimates: same shape.
        joint: spectra of the filters of P, `[inputs, sources, channels, bins]`.
        own: spectra of the filters of P_j, `[sources, channels, channels, bins]`.

    Returns:
        dB, `[sources, frames]` each.
    """
    target, projection = torch.zeros_like(references), torch.zeros_like(references)
    for channel in range(own.shape[1]):
        target.addcmul_(references[:, :, channel, None], own[:, channel])  # P_j
    for number, filters in enumerate(joint):
        projection.addcmul_(references.flatten(1, 2)[:, number, None, None], filters)  # P
    signal, held, kept = (_energy(spectra) for spectra in (references, target, projection))
    return (
        _decibel(signal, _energy(references.sub_(target))),
        _decibel(held, _energy(target.sub_(projection))),
        _decibel(kept, _energy(projection.sub_(estimates))),
    )


def _spectra(frames: Tensor, size: int) -> Tensor:
    """Spectra whose energies are those of the frames.

    Args:
        frames: `[sources, channels, frames, samples]`.
        size: of the FFT.

    Returns:
        `[frames, sources, channels, bins]`.
    """
    spectra = torch.fft.rfft(frames.movedim(2, 0).double(), size, norm="ortho")
    spectra[..., 1 : size // 2] *= math.sqrt(2)  # the bins that stand for their mirror image too
    return spectra


def _decibel(numerator: Tensor, denominator: Tensor) -> Tensor:
    return 10 * torch.log10(numerator / denominator).T


def _energy(spectra: Tensor) -> Tensor:
    return torch.linalg.vector_norm(torch.view_as_real(spectra), dim=(-3, -2, -1)).square()


def _fast_length(samples: int) -> int:
    """Smallest even length from so many samples up whose prime factors are at most 7."""
    length = samples + samples % 2
    while 210 ** length.bit_length() % length:  # 2·3·5·7 to a power that holds every such length
        length += 2
    return length
