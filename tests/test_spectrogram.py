import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.spectrogram import istft, stft


@pytest.mark.parametrize(("n_fft", "hop"), [(4096, 2048), (2048, 1024), (1024, 256), (512, 128)])
@settings(max_examples=25)
@given(samples=st.integers(1, 9000))
def test_inverse_is_exact_for_every_length(n_fft: int, hop: int, samples: int) -> None:
    audio = torch.randn(2, 3, samples, generator=torch.Generator().manual_seed(samples))
    spectrum = stft(audio, n_fft, hop)
    assert spectrum.shape == (2, 3, n_fft // 2 + 1, -(-samples // hop) + 1)
    restored = istft(spectrum, samples, n_fft, hop)
    assert restored.shape == audio.shape
    torch.testing.assert_close(restored, audio, atol=2e-5, rtol=0)


def test_energy_is_kept() -> None:
    audio = torch.nn.functional.pad(torch.randn(1, 40000), (2048, 2048))  # nothing to reflect
    spectrum = stft(audio, 2048, 1024)
    two_sided = 2 * spectrum.abs().square().sum() - spectrum[:, [0, -1]].abs().square().sum()
    assert two_sided.item() / 2048 == pytest.approx(audio.square().sum().item(), rel=1e-4)


def test_gradients_reach_the_audio() -> None:
    audio = torch.randn(1, 5000, requires_grad=True)
    istft(stft(audio, 1024, 512) * 0.5, 5000, 1024, 512).square().sum().backward()
    assert audio.grad is not None
    torch.testing.assert_close(audio.grad, 0.5 * audio.detach(), atol=1e-4, rtol=0)
