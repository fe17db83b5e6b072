"""Programme loudness."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_BLOCK, _HOP = 0.4, 0.1  # seconds
_OFFSET = -0.691  # dB, so that a 997 Hz sine at full scale in one channel has -3.01 LKFS
_SILENCE = -70.0  # LKFS, the absolute gate
_RELATIVE = -10.0  # LU, the relative gate


def loudness(audio: NDArray[np.float32], sample_rate: int) -> float:
    """Integrated loudness in LUFS, with both gates, of Recommendation ITU-R BS.1770-4.

    Args:
        audio: `[channels, samples]`, left and right or mono, at least 0.4 s.
        sample_rate: Hz.

    Returns:
        Minus infinity for silence.

    >>> sine = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)
    >>> round(loudness(sine[None].astype(np.float32), 48000), 2)
    -3.01
    """
    power = np.square(_weighted(audio, sample_rate)).sum(0)
    block, hop = round(_BLOCK * sample_rate), round(_HOP * sample_rate)
    summed = np.concatenate([[0.0], np.cumsum(power)])
    starts = np.arange(0, len(power) - block + 1, hop)
    means = (summed[starts + block] - summed[starts]) / block
    means = means[_level(means) > _SILENCE]
    if not means.size:
        return -math.inf
    threshold = _level(means.mean()) + _RELATIVE
    return float(_level(means[_level(means) > threshold].mean()))


def _level(power: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return _OFFSET + 10 * np.log10(np.maximum(power, 0))


def _weighted(audio: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """K-weighted audio `[channels, samples]`: both filters of BS.1770, at any rate.

    The analogue prototypes behind its coefficients for 48 kHz are those of B. De Man, "Evaluation
    of implementations of the EBU R128 loudness measurement", AES 145, 2018.
    """
    samples = audio.shape[1]
    padded = 1 << (samples + sample_rate // 2).bit_length()  # the filters' tails go in there
    z = np.exp(-2j * np.pi * np.arange(padded // 2 + 1) / padded)
    response = _shelf(z, sample_rate) * _high_pass(z, sample_rate)
    spectrum = np.fft.rfft(audio.astype(np.float64), padded) * response
    return np.fft.irfft(spectrum, padded)[:, :samples]


def _shelf(z: NDArray[np.complex128], sample_rate: int) -> NDArray[np.complex128]:
    gain, quality = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    band = gain**0.4996667741545416
    above = (
        gain + band * k / quality + k * k,
        2 * (k * k - gain),
        gain - band * k / quality + k * k,
    )
    below = (1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k)
    return _ratio(above, below, z)


def _high_pass(z: NDArray[np.complex128], sample_rate: int) -> NDArray[np.complex128]:
    quality = 0.5003270373238773
    k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    below = (1.0, 2 * (k * k - 1) / (1 + k / quality + k * k))
    return _ratio(
        (1.0, -2.0, 1.0),
        (*below, (1 - k / quality + k * k) / (1 + k / quality + k * k)),
        z,
    )


def _ratio(
    above: tuple[float, float, float],
    below: tuple[float, float, float],
    z: NDArray[np.complex128],
) -> NDArray[np.complex128]:
    """Response of a biquad, with `z` the unit delay at each frequency."""
    return (above[0] + above[1] * z + above[2] * z * z) / (
        below[0] + below[1] * z + below[2] * z * z
    )
