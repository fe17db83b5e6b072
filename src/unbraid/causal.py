"""Masking without look-ahead: frames of the past make filters that act from now on.

A mask that multiplies an STFT frame moves sound within the frame, also backwards. Here each mask
becomes the causal filter of the same gains that delays least, as in Löllmann and Vary, "Uniform and
warped low delay filter-banks for speech enhancement" (Speech Communication 49, 2007). It is
computed from samples before its block and convolved with the samples up to the one it makes, so no
sample of the output depends on a later one of the input: the latency is none. The price is that
masks come late, by half a window and a hop, and that filters turn phases a little.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from unbraid.spectrogram import frames_of

GAIN_FLOOR = 1e-3  # -60 dB: the logarithm of a gain has to be finite


def past_stft(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """Short-time Fourier transform whose frames end before the samples that `filtered` makes.

    Args:
        audio: `[..., samples]`, at least one sample.
        n_fft: window length in samples.
        hop: distance of frames in samples.

    Returns:
        Complex spectrogram `[..., n_fft // 2 + 1, t]`, with as many frames as `stft` makes; frame
        `i` holds the `n_fft` samples before sample `(i - 1) * hop`.
    """
    frames = frames_of(audio.shape[-1], hop)
    flat = audio.reshape(-1, audio.shape[-1])
    padded = functional.pad(flat, (n_fft + hop, 0))[:, : n_fft + (frames - 1) * hop]
    window = torch.hann_window(n_fft, dtype=audio.dtype, device=audio.device).sqrt()
    spectrum = torch.stft(padded, n_fft, hop, window=window, center=False, return_complex=True)
    return spectrum.reshape(*audio.shape[:-1], *spectrum.shape[-2:])


def minimum_phase(gains: Tensor) -> Tensor:
    """Impulse responses of the causal filters with these gains that delay least.

    By the folded cepstrum: Oppenheim and Schafer, "Discrete-Time Signal Processing", ch. 13.

    Args:
        gains: `[..., bins]` from 0 Hz to half the sample rate, not negative.

    Returns:
        `[..., 2 * (bins - 1)]`.
    """
    taps = 2 * (gains.shape[-1] - 1)
    cepstrum = torch.fft.irfft(gains.clamp(min=GAIN_FLOOR).log(), taps)
    fold = cepstrum.new_zeros(taps)
    fold[0] = fold[taps // 2] = 1
    fold[1 : taps // 2] = 2
    return torch.fft.irfft(torch.fft.rfft(cepstrum * fold).exp(), taps)


def filtered(audio: Tensor, filters: Tensor, hop: int) -> Tensor:
    """Convolve audio with filters that take turns, crossfaded over two hops.

    Args:
        audio: `[..., samples]`.
        filters: impulse responses `[..., t, taps]` for the frames of `past_stft`.
        hop: distance of frames in samples.

    Returns:
        Audio `[..., samples]`; filters that are a single one at tap 0 leave it as it is.
    """
    samples, (frames, taps) = audio.shape[-1], filters.shape[-2:]
    block = taps + 2 * hop
    padded = functional.pad(audio, (taps + hop, frames * hop - samples))
    spectrum = torch.fft.rfft(padded.unfold(-1, block, hop)) * torch.fft.rfft(filters, block)
    made = torch.fft.irfft(spectrum, block)[..., taps:]  # the rest wraps around
    made = made * torch.hann_window(2 * hop, dtype=made.dtype, device=made.device)
    joined = made[..., :-1, hop:] + made[..., 1:, :hop]
    return joined.flatten(-2)[..., :samples]
