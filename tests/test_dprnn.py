import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid import Separator
from unbraid.causal import filtered, minimum_phase, past_stft
from unbraid.dualpath import ChunkBlock, chunked, overlap_added
from unbraid.errors import ConfigError
from unbraid.models import build
from unbraid.models.checkpoint import load, save
from unbraid.spectrogram import frames_of, stft

TINY = {"n_fft": 256, "hop": 64, "features": 8, "hidden": 8, "blocks": 2, "chunk": 6, "maps": 2}


@given(frames=st.integers(1, 40), half=st.integers(1, 8))
def test_overlap_added_is_the_exact_inverse_of_chunked(frames: int, half: int) -> None:
    x = torch.randn(frames, 2, 3)
    chunks = chunked(x, 2 * half)
    assert chunks.shape[1:] == (2 * half, 2, 3)
    assert torch.equal(overlap_added(chunks, frames), x)


@given(frames=st.integers(1, 40), half=st.integers(1, 8))
def test_each_frame_is_in_two_chunks(frames: int, half: int) -> None:
    chunks = chunked(torch.arange(1.0, frames + 1), 2 * half)
    numbers, counts = chunks[chunks > 0].unique(return_counts=True)
    assert numbers.tolist() == list(range(1, frames + 1))
    assert (counts == 2).all()
    assert torch.equal(chunks[:-1, half:], chunks[1:, :half])


@settings(max_examples=20)
@given(frames=st.integers(2, 30), changed=st.integers(1, 29))
def test_causal_blocks_see_no_later_frame(frames: int, changed: int) -> None:
    changed = min(changed, frames - 1)
    torch.manual_seed(0)
    blocks = torch.nn.Sequential(*(ChunkBlock(4, 4, causal=True) for _ in range(2)))
    x = torch.randn(frames, 1, 4)
    y = torch.cat([x[:changed], torch.randn(frames - changed, 1, 4)])
    with torch.inference_mode():
        before, after = (overlap_added(blocks(chunked(z, 6)), frames) for z in (x, y))
    torch.testing.assert_close(after[:changed], before[:changed], rtol=0, atol=1e-6)
    assert not torch.allclose(after[changed], before[changed])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("samples", [1, 63, 64, 65, 5000])
def test_shapes(samples: int, causal: bool) -> None:
    model = build("dprnn", targets=("vocals", "drums"), residual="rest", causal=causal, **TINY)
    estimates = model.eval()(torch.randn(3, 2, samples))
    assert estimates.shape == (3, 2, 2, samples)
    assert estimates.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_silence_gives_silence(causal: bool) -> None:
    assert not build("dprnn", causal=causal, **TINY)(torch.zeros(1, 2, 3000)).any()


@pytest.mark.parametrize("causal", [False, True])
def test_every_weight_learns(causal: bool) -> None:
    torch.manual_seed(0)
    model = build("dprnn", causal=causal, **TINY)
    model(torch.randn(1, 2, 3000)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("causal", [False, True])
def test_open_masks_give_the_mixture(causal: bool) -> None:
    model = build("dprnn", causal=causal, **TINY).eval()
    model.masks = lambda spectrum: torch.ones(1, 1, *spectrum.transpose(-1, -2).shape[1:])
    mixture = torch.randn(1, 2, 1111)
    torch.testing.assert_close(model(mixture)[:, 0], mixture, rtol=0, atol=1e-5)


@pytest.mark.parametrize("start", [1, 63, 64, 500, 1000, 1279, 1280, 1999])
def test_causal_output_depends_on_no_later_input(start: int) -> None:
    torch.manual_seed(0)
    model = build("dprnn", causal=True, **TINY).eval()
    mixture = torch.randn(1, 2, 2000)
    other = mixture.clone()
    other[..., start:] = 3 * torch.randn(1, 2, 2000 - start)
    with torch.inference_mode():
        before, after = model(mixture), model(other)
    torch.testing.assert_close(after[..., :start], before[..., :start], rtol=0, atol=1e-6)
    change = (after - before).abs().amax((0, 1, 2))
    assert change[start] > 1e-3  # and there is no latency either
    whole = build("dprnn", **TINY).eval()
    assert not torch.allclose(whole(mixture)[..., :start], whole(other)[..., :start], atol=1e-4)


@pytest.mark.parametrize("length", [1, 64, 700, 1000])
def test_causal_output_does_not_depend_on_the_length(length: int) -> None:
    torch.manual_seed(0)
    model = build("dprnn", causal=True, **TINY).eval()
    mixture = torch.randn(1, 2, 2000)
    with torch.inference_mode():
        whole, part = model(mixture), model(mixture[..., :length])
    torch.testing.assert_close(part, whole[..., :length], rtol=0, atol=1e-6)


@given(samples=st.integers(1, 700), hop=st.sampled_from([16, 32]))
def test_past_frames_end_before_what_they_are_applied_to(samples: int, hop: int) -> None:
    audio = torch.randn(2, samples)
    frames = past_stft(audio, 64, hop)
    assert frames.shape == (2, 33, frames_of(samples, hop)) == stft(audio, 64, hop).shape
    window = torch.hann_window(64).sqrt()
    padded = torch.nn.functional.pad(audio, (64 + hop, 0))
    for index in range(frames.shape[-1]):
        expected = torch.fft.rfft(padded[:, index * hop : index * hop + 64] * window)
        torch.testing.assert_close(frames[..., index], expected, rtol=0, atol=1e-4)


def test_minimum_phase_filters_keep_the_gains() -> None:
    frequency = torch.linspace(0, 1, 513)
    gains = torch.stack([0.55 + 0.45 * (4 * frequency).cos(), torch.full((513,), 0.25)])
    filters = minimum_phase(gains)
    torch.testing.assert_close(torch.fft.rfft(filters).abs(), gains, rtol=1e-3, atol=1e-3)
    energy = filters.square().cumsum(-1)
    assert (energy[:, 64] > 0.999 * energy[:, -1]).all()  # it comes at once
    assert torch.allclose(filters[1, 0], torch.tensor(0.25), atol=1e-4)


def test_filters_convolve_and_take_turns() -> None:
    audio, hop = torch.randn(1, 500), 32
    one, two = torch.randn(2, 64)
    frames = frames_of(500, hop)
    expected = torch.nn.functional.conv1d(
        torch.nn.functional.pad(audio, (63, 0))[None], one.flip(0)[None, None]
    )[0]
    same = filtered(audio, one.expand(1, frames, 64), hop)
    torch.testing.assert_close(same, expected, rtol=0, atol=1e-4)
    filters = torch.stack([one if index < 5 else two for index in range(frames)])[None]
    turned = filtered(audio, filters, hop)
    torch.testing.assert_close(turned[:, : 4 * hop], expected[:, : 4 * hop], rtol=0, atol=1e-4)
    assert not torch.allclose(turned[:, 5 * hop :], expected[:, 5 * hop :], atol=1e-1)


def test_spec_augment_silences_inputs_in_training_alone() -> None:
    torch.manual_seed(0)
    model = build("dprnn", frequency_mask=40, time_mask=10, **TINY)
    inputs = torch.ones(4, 2, 50, 129)
    augmented = model._spec_augment(inputs)
    rows = augmented.amax((1, 3)) == 0  # [b, t]
    columns = augmented.amax((1, 2)) == 0  # [b, f]
    assert 0 < rows.sum(1).max() <= 20
    assert 0 < columns.sum(1).max() <= 80
    assert len({tuple(row.tolist()) for row in columns}) == 4  # others in each example
    assert set(augmented.unique().tolist()) == {0.0, 1.0}
    mixture = torch.randn(1, 2, 3000)
    assert not torch.equal(model(mixture), model(mixture))
    model.eval()
    assert torch.equal(model(mixture), model(mixture))


def test_autocast_changes_masks_alone() -> None:
    torch.manual_seed(0)
    model = build("dprnn", **TINY).eval()
    mixture = torch.randn(1, 2, 3000)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        half = model(mixture)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, model(mixture), rtol=0, atol=0.05)


@pytest.mark.parametrize(
    "setting", [{"chunk": 5}, {"chunk": 0}, {"maps": 0}, {"hop": 129}, {"n_fft": 255}]
)
def test_impossible_sizes_are_errors(setting: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="give"):
        build("dprnn", **{**TINY, **setting})


def test_default_size() -> None:
    weights = sum(weight.numel() for weight in build("dprnn").parameters())
    assert 1e6 < weights < 3e6


@pytest.mark.parametrize("samples", [1, 31, 30000])
def test_separator_separates_with_saved_weights(tmp_path, samples: int) -> None:
    path = tmp_path / "tiny.safetensors"
    save(build("dprnn", **TINY), path, architecture="dprnn", licence="", data="")
    mixture = np.random.default_rng(0).standard_normal((2, samples)).astype(np.float32)
    stems = Separator(load(path), segment=0.2)(mixture, 44100)
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)
