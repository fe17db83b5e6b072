"""Parity with museval, whose metrics are loaded by themselves: its package needs ffmpeg."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch

from unbraid.errors import DataError
from unbraid.evaluation import bsseval_v4, frame_sdr

RATE = 8000
SONGS = Path(__file__).parents[2] / "shared/data/songs/valid"


@pytest.fixture(scope="module")
def museval():
    spec = util.find_spec("museval")
    if spec is None:
        pytest.skip("museval is not installed (pip install 'unbraid[dev]')")
    path = Path(spec.origin).with_name("metrics.py")
    module_spec = util.spec_from_file_location("museval_metrics", path)
    module = util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)

    def evaluate(references, estimates, rate):
        turned = (np.moveaxis(audio, 1, 2).astype(float) for audio in (references, estimates))
        scores = module.bss_eval(*turned, window=rate, hop=rate)
        return dict(zip(("SDR", "ISR", "SIR", "SAR"), scores[:4], strict=True))

    return evaluate


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(shape).astype("float32")


def leaky(references: np.ndarray) -> np.ndarray:
    """Estimates with every kind of error: gain, interference, a filter, artifacts."""
    estimates = 0.8 * references + 0.1 * references[::-1]
    estimates[..., 5:] += 0.2 * references[..., :-5]
    return estimates + 0.1 * noise(*references.shape, seed=9)


def assert_same(ours, theirs, tolerance: float = 1e-6) -> None:
    for metric, values in theirs.items():
        np.testing.assert_allclose(ours[metric], values, rtol=0, atol=tolerance, err_msg=metric)


@pytest.mark.parametrize(
    ("sources", "channels", "seconds", "rest"),
    [(2, 2, 9, 1234), (2, 2, 2, 0), (2, 1, 3, 1), (2, 1, 3, 7999), (3, 1, 3, 5)],
)
def test_agrees_with_museval(museval, sources, channels, seconds, rest) -> None:
    references = noise(sources, channels, seconds * RATE + rest)
    estimates = leaky(references)
    ours = bsseval_v4(references, estimates, RATE)
    assert ours["SIR"].shape == (sources, seconds)
    assert_same(ours, museval(references, estimates, RATE))


@pytest.mark.parametrize("samples", [2000, RATE])
def test_a_track_of_at_most_one_second_is_one_frame(museval, samples) -> None:
    references = noise(2, 2, samples)
    ours = bsseval_v4(references, leaky(references), RATE)
    assert ours["SDR"].shape == (2, 1)
    assert_same(ours, museval(references, leaky(references), RATE))


def test_silent_frames_are_nan_for_all_sources(museval) -> None:
    references = noise(2, 2, 5 * RATE)
    estimates = leaky(references)
    references[0, :, :RATE] = 0
    references[1, 1, 2 * RATE : 3 * RATE] = -references[1, 0, 2 * RATE : 3 * RATE]
    estimates[1, :, 3 * RATE : 4 * RATE] = 0
    ours = bsseval_v4(references, estimates, RATE)
    for values in ours.values():
        np.testing.assert_array_equal(np.isnan(values), [[True, False, True, True, False]] * 2)
    assert_same(ours, museval(references, estimates, RATE))


@pytest.mark.parametrize("kind", ["centred", "both centred", "silent channel", "same twice"])
def test_dependent_channels_are_scored(museval, kind, monkeypatch) -> None:
    monkeypatch.setattr(np.linalg, "linalg", np.linalg, raising=False)  # gone from NumPy 2.4
    references = noise(2, 2, 3 * RATE)
    if kind == "silent channel":
        references[0, 1] = 0
    elif kind == "same twice":
        references[1] = references[0]
    else:
        references[0, 1] = references[0, 0]
        if kind == "both centred":
            references[1, 1] = references[1, 0]
    estimates = leaky(noise(2, 2, 3 * RATE))
    ours, theirs = bsseval_v4(references, estimates, RATE), museval(references, estimates, RATE)
    if kind == "same twice":  # no interference: both SIR are rounding errors
        assert min(ours.pop("SIR").min(), theirs.pop("SIR").min()) > 200
    assert_same(ours, theirs)


def test_a_scaled_copy_makes_a_singular_system() -> None:
    references = noise(2, 1, 2 * RATE)
    references[1] = references[0]
    estimates = leaky(references)
    expected = bsseval_v4(references, estimates, RATE)["SAR"]
    references[1] *= 0.5
    np.testing.assert_allclose(bsseval_v4(references, estimates, RATE)["SAR"], expected, atol=1e-6)


@pytest.mark.skipif(not SONGS.is_dir(), reason="no validation songs in ../shared")
@pytest.mark.parametrize(
    ("song", "tolerance"),
    [
        ("south-of-the-water", 1e-6),
        ("daisy-daisy", 2e-5),  # low-passed: museval itself moves by 5e-6 with the volume
    ],
)
def test_agrees_with_museval_on_a_song(museval, song, tolerance) -> None:
    soundfile = pytest.importorskip("soundfile")
    files = [SONGS / song / f"{stem}.ogg" for stem in ("vocals", "accompaniment")]
    references = np.stack([soundfile.read(file, frames=3 * 44100)[0].T for file in files])
    estimates = leaky(references)
    references, estimates = (np.round(audio * 2**15) / 2**15 for audio in (references, estimates))
    theirs = museval(references, estimates, 44100)
    assert_same(bsseval_v4(references, estimates), theirs, tolerance)


def test_estimates_are_cut_or_padded_to_the_references() -> None:
    references = noise(2, 2, 3 * RATE)
    estimates = leaky(references)
    longer = np.concatenate([estimates, noise(2, 2, 100)], -1)
    shorter = estimates[..., : 2 * RATE + 100]
    padded = np.pad(shorter, ((0, 0), (0, 0), (0, RATE - 100)))
    assert_same(bsseval_v4(references, longer, RATE), bsseval_v4(references, estimates, RATE))
    assert_same(bsseval_v4(references, shorter, RATE), bsseval_v4(references, padded, RATE))


def test_a_silent_track_is_nan() -> None:
    references = noise(2, 2, 2 * RATE)
    references[0] = 0
    for values in bsseval_v4(references, noise(2, 2, 2 * RATE), RATE).values():
        assert values.shape == (2, 2) and np.isnan(values).all()


def test_one_source_alone() -> None:
    references = noise(1, 2, 2 * RATE)
    estimates = references + 0.1 * noise(1, 2, 2 * RATE, seed=3)
    scores = bsseval_v4(torch.from_numpy(references), torch.from_numpy(estimates), RATE)
    assert np.isfinite(scores["SAR"]).all() and (scores["SIR"] > 200).all()
    np.testing.assert_array_equal(scores["SDR"], frame_sdr(references, estimates, RATE))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_agrees_with_the_cpu() -> None:
    references = noise(2, 2, 5 * RATE)
    estimates = leaky(references)
    assert_same(
        bsseval_v4(references, estimates, RATE, "cuda"), bsseval_v4(references, estimates, RATE)
    )


def test_empty_audio_is_said_to_be_empty() -> None:
    empty = noise(2, 2, 0)
    with pytest.raises(DataError, match="the references are empty"):
        bsseval_v4(empty, empty, RATE)


def test_shapes_that_do_not_match_are_refused() -> None:
    references = noise(2, 2, RATE)
    for estimates in (references[:1], references[:, :1], references[0]):
        with pytest.raises(DataError, match=r"\[sources, channels, samples\]"):
            bsseval_v4(references, estimates, RATE)
