"""The matrix-product STFT against torch's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.fourier import MatmulSTFT
from unbraid.spectrogram import centred_istft, centred_stft, istft, stft


@settings(max_examples=30)
@given(
    hop=st.integers(1, 12),
    hops_per_window=st.sampled_from([2, 4, 6]),
    more=st.integers(1, 20),
    batch=st.integers(1, 3),
    channels=st.integers(1, 2),
)
def test_it_is_the_stft(hop, hops_per_window, more, batch, channels) -> None:
    n_fft, samples = hop * hops_per_window, hop * (hops_per_window // 2 + more)
    module = MatmulSTFT(torch.hann_window(n_fft).sqrt(), hop, samples)
    audio = torch.randn(batch, channels, samples)
    expected = stft(audio, n_fft, hop)
    torch.testing.assert_close(module(audio), torch.view_as_real(expected), atol=1e-5, rtol=1e-4)
    changed = expected * torch.randn_like(expected.real)
    pairs = torch.view_as_real(changed).flatten(0, 1)
    torch.testing.assert_close(
        module.inverse(pairs),
        istft(changed, samples, n_fft, hop).flatten(0, 1),
        atol=1e-5,
        rtol=1e-4,
    )


@settings(max_examples=30)
@given(
    half=st.integers(8, 24),
    hop=st.integers(1, 6),
    more=st.integers(1, 40),
    channels=st.integers(1, 2),
)
def test_hops_need_not_divide_the_window_or_the_length(half, hop, more, channels) -> None:
    n_fft, samples = 2 * half, half + more
    module = MatmulSTFT(torch.hann_window(n_fft), hop, samples)
    audio = torch.randn(2, channels, samples)
    expected = centred_stft(audio, n_fft, hop)
    torch.testing.assert_close(module(audio), torch.view_as_real(expected), atol=1e-5, rtol=1e-4)
    changed = expected * torch.randn_like(expected.real)
    torch.testing.assert_close(
        module.inverse(torch.view_as_real(changed).flatten(0, 1)),
        centred_istft(changed, samples, n_fft, hop).flatten(0, 1),
        atol=1e-5,
        rtol=1e-4,
    )


@pytest.mark.parametrize("n_fft", [4096, 2048, 96])
def test_its_matrices_are_smaller_than_the_transform(n_fft: int) -> None:
    module = MatmulSTFT(torch.hann_window(n_fft), n_fft // 2, n_fft)
    audio = torch.randn(1, 1, n_fft)
    torch.testing.assert_close(module.inverse(module(audio)[:, 0]), audio[0], atol=1e-4, rtol=0)
    matrices = module.short.numel() + module.long.numel() + module.turn.numel()
    assert matrices < n_fft * (n_fft + 2) / 2  # a plain transform's
