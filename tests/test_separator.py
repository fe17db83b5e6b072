"""The separator's promises, held by a network with random weights, as they don't need good ones."""

import dataclasses
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sounds import RATE, music
from unbraid import Separator
from unbraid.errors import AudioError, ConfigError, ModelError, UnbraidWarning
from unbraid.models import build
from unbraid.overlap import fade_samples

HOP = 2048


def names_sum_to(stems: dict, mixture: np.ndarray) -> None:
    assert list(stems) == ["vocals", "accompaniment"]
    assert all(stem.shape == mixture.shape for stem in stems.values())
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)


EDGES = [0, 1, 2, HOP - 1, HOP, HOP + 1, RATE // 2, RATE - 1, RATE, RATE + 1, 3 * RATE + 7]


@pytest.mark.parametrize("samples", EDGES)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_length_comes_back_and_sums_to_the_mixture(
    separator: Separator, samples: int, channels: int
) -> None:
    mixture = music(samples, channels)
    names_sum_to(separator(mixture, RATE), mixture)


@settings(max_examples=30)
@given(
    samples=st.integers(0, 30000),
    rate=st.sampled_from([8000, 16000, 22050, 32000, 44100, 48000, 96000]),
    channels=st.integers(1, 6),
)
def test_every_rate_and_channel_count(
    separator: Separator, samples: int, rate: int, channels: int
) -> None:
    mixture = music(samples, channels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnbraidWarning)
        names_sum_to(separator(mixture, rate), mixture)


def test_segments_differ_from_the_whole_only_by_context(separator: Separator) -> None:
    """A network without recurrence sees single frames: in segments or whole is then the same."""
    torch.manual_seed(0)
    network = build("bandsplit", features=8, hidden=8, blocks=0)
    mixture = music(5 * RATE)
    whole = Separator(network, segment=6.0)(mixture, RATE)["vocals"]
    parts = Separator(network, segment=1.0)(mixture, RATE)["vocals"]
    # what remains is the reflection at the ends of segments, where the crossfade is near zero
    error = np.sqrt(((whole - parts) ** 2).mean() / (whole**2).mean())
    assert error < 0.05


def test_no_pop_at_the_start(separator: Separator) -> None:
    seconds = np.arange(2 * RATE) / RATE
    tone = np.repeat(0.5 * np.cos(2 * np.pi * 440 * seconds)[None], 2, 0).astype(np.float32)
    vocals = separator(tone, RATE)["vocals"]
    start = np.abs(vocals[:, : RATE // 100]).max()
    assert start < 1.5 * np.abs(vocals[:, RATE // 2 : RATE]).max()


@pytest.mark.parametrize("samples", [1, 1000, 3 * RATE])
def test_silence_gives_silence(separator: Separator, samples: int) -> None:
    for stem in separator(np.zeros((2, samples), np.float32), RATE).values():
        assert not stem.any()


def test_the_same_twice(separator: Separator) -> None:
    mixture = music(3 * RATE)
    first, second = separator(mixture, RATE), separator(mixture, RATE)
    assert all(np.array_equal(first[stem], second[stem]) for stem in first)


def test_mono_is_separated_as_dual_mono(separator: Separator) -> None:
    mono = music(2 * RATE, 1)
    stereo = separator(np.repeat(mono, 2, 0), RATE)["vocals"]
    np.testing.assert_allclose(separator(mono, RATE)["vocals"][0], stereo.mean(0), atol=1e-6)


def test_further_channels_go_to_the_accompaniment(separator: Separator) -> None:
    mixture = music(RATE, 5)
    with pytest.warns(UnbraidWarning, match="5 channels") as told:
        stems = separator(mixture, RATE)
        separator.blocks([mixture], RATE, 5)
    assert [each.filename for each in told] == [__file__] * 2
    assert not stems["vocals"][2:].any()
    np.testing.assert_array_equal(stems["accompaniment"][2:], mixture[2:])
    np.testing.assert_allclose(
        stems["vocals"][:2], separator(mixture[:2], RATE)["vocals"], atol=1e-6
    )


@pytest.mark.parametrize(
    "kind", [np.float32, np.float64, torch.float32, torch.float64, torch.bfloat16]
)
@pytest.mark.parametrize("shape", [(2, 5000), (1, 5000), (5000,)])
def test_arrays_come_back_as_their_kind_and_shape(
    separator: Separator, kind: type, shape: tuple[int, ...]
) -> None:
    is_torch = isinstance(kind, torch.dtype)
    audio = torch.zeros(shape, dtype=kind) if is_torch else np.zeros(shape, kind)
    stems = separator(audio, RATE)
    assert stems.sample_rate == RATE
    for stem in stems.values():
        assert isinstance(stem, torch.Tensor if is_torch else np.ndarray)
        assert tuple(stem.shape) == shape
        assert stem.dtype == (torch.float32 if is_torch else np.float32)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((2, 100), np.int16), "int16.*floating"),
        (np.zeros((2, 3, 100), np.float32), r"shape \[2, 3, 100\]"),
        (np.zeros((44100, 2), np.float32), "transpose"),
        (np.array([[0.0, 1.0, np.nan, 0.0]]), "not finite at sample 2"),
        (np.array([[0.0, 1e39, 0.0]]), "not finite at sample 1"),
    ],
)
def test_bad_arrays(separator: Separator, audio: np.ndarray, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        separator(audio, RATE)


def test_long_blocks_of_a_few_hertz_are_cut_before_they_are_resampled(separator) -> None:
    mixture = music(1300)
    blocks = list(separator.blocks([mixture], 50, 2))
    assert max(block["vocals"].shape[1] for block in blocks) == 500
    whole = {stem: np.concatenate([block[stem] for block in blocks], 1) for stem in blocks[0]}
    names_sum_to(whole, mixture)


@pytest.mark.parametrize("kind", [np.float64, np.float16, torch.float64])
def test_blocks_are_taken_as_arrays_are(separator: Separator, kind: Any) -> None:
    mixture = music(1000)
    is_torch = isinstance(kind, torch.dtype)
    block = torch.from_numpy(mixture).to(kind) if is_torch else mixture.astype(kind)
    (stems,) = separator.blocks([block], RATE, 2)
    assert stems["vocals"].dtype == np.float32
    names_sum_to(stems, np.asarray(block, np.float32))


@pytest.mark.parametrize("channels", [1, 2])
def test_blocks_may_be_filled_anew(separator: Separator, channels: int) -> None:
    mixture, buffer = music(2 * RATE, channels), np.empty((channels, RATE // 10), np.float32)

    def recorded():
        for part in np.split(mixture, 20, 1):
            buffer[:] = part
            yield buffer

    blocks = list(separator.blocks(recorded(), RATE, channels))
    whole = {stem: np.concatenate([block[stem] for block in blocks], 1) for stem in blocks[0]}
    names_sum_to(whole, mixture)
    np.testing.assert_allclose(whole["vocals"], separator(mixture, RATE)["vocals"], atol=1e-6)


@pytest.mark.parametrize(
    ("block", "given"),
    [
        (np.zeros((100, 2), np.float32), r"float32 \[100, 2\]"),  # as soundfile has them
        (np.zeros(100, np.float32), r"float32 \[100\]"),
        (np.zeros((1, 100), np.float32), r"float32 \[1, 100\]"),
        (np.zeros((2, 100), np.int16), r"int16 \[2, 100\]"),
    ],
)
def test_bad_blocks(separator: Separator, block: np.ndarray, given: str) -> None:
    with pytest.raises(AudioError, match=rf"is floating \[2, samples\], not {given}"):
        list(separator.blocks([block], RATE, 2))


@pytest.mark.filterwarnings("ignore:4 channels")
@pytest.mark.parametrize("channel", [0, 3])
def test_a_stream_that_is_not_finite(separator: Separator, channel: int) -> None:
    """In channels that no network hears, too."""
    blocks = [np.zeros((4, 1000), np.float32) for _ in range(3)]
    blocks[2][channel, 70] = np.nan
    with pytest.raises(AudioError, match="not finite at sample 2070: repair it"):
        list(separator.blocks(blocks, RATE, 4))


@pytest.mark.parametrize("rate", [0, -1, 0.5, float("nan"), float("inf")])
def test_rates_that_cannot_be(separator: Separator, rate: float) -> None:
    with pytest.raises(AudioError, match=rf"sample_rate {rate}: give a number of Hz, 1 at least"):
        separator(np.zeros((2, 100), np.float32), rate)
    with pytest.raises(AudioError, match=rf"sample_rate {rate}: give a number of Hz, 1 at least"):
        separator.blocks([], rate, 2)


def test_arrays_that_may_not_be_written_to(separator: Separator, monkeypatch) -> None:
    """Torch warns of them, but once in a process."""
    taken = []
    monkeypatch.setattr(
        torch, "from_numpy", lambda array: taken.append(array) or torch.tensor(array)
    )
    frozen = np.frombuffer(music(1000).tobytes(), np.float32).reshape(2, -1)
    separator(frozen, RATE)
    assert taken
    assert all(array.flags.writeable for array in taken)


class Half(torch.nn.Module):
    """Takes half of the song for vocals."""

    config = build("conv1d", channels=[]).config

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        self.seen.add(mixture.shape[-1])
        return mixture[:, None] / 2


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 192000])
def test_stems_of_other_rates_are_in_time(rate: int) -> None:
    seconds = np.arange(rate) / rate
    mixture = (np.sin(2 * np.pi * 440 * seconds) * np.hanning(rate))[None].astype(np.float32)
    vocals = Separator(Half(), precision="float32")(mixture, rate)["vocals"]
    np.testing.assert_allclose(vocals, mixture / 2, atol=1e-4)


def test_segments_last_eight_seconds_by_default() -> None:
    network = Half()
    Separator(network)(music(9 * RATE), RATE)
    assert network.seen == {8 * RATE}


def test_stems_that_agree_with_the_mixture_are_left_by_the_filter() -> None:
    mixture = music(RATE)
    vocals = Separator(Half(), segment=1.0, wiener=1, precision="float32")(mixture, RATE)["vocals"]
    np.testing.assert_allclose(vocals, mixture / 2, atol=1e-5)


def test_a_program_may_have_its_tensors_elsewhere(separator: Separator) -> None:
    """As with `torch.set_default_device("cuda")`."""
    mixture = music(3 * RATE)
    with torch.device("meta"):
        elsewhere = separator(mixture, RATE)
    np.testing.assert_array_equal(elsewhere["vocals"], separator(mixture, RATE)["vocals"])


def test_progress_rises_to_one(separator: Separator) -> None:
    fractions: list[float] = []
    separator(music(5 * RATE), RATE, progress=fractions.append)
    assert len(fractions) > 2
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


def test_progress_ends_at_one_where_a_song_is_longer_than_it_says(separator: Separator) -> None:
    fractions: list[float] = []
    blocks = separator.blocks([music(3 * RATE)], RATE, 2, progress=fractions.append, duration=1.5)
    assert sum(block["vocals"].shape[1] for block in blocks) == 3 * RATE
    assert max(fractions) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 0.6}, "overlap"),
        ({"wiener": 1.5}, "wiener 1.5: give a number of iterations"),
        ({"segment": 0}, "segment"),
        ({"segment": 1e9}, "segment 1000000000.0.*3600 at most"),
        ({"batch_size": 0}, "batch_size"),
        ({"device": "tpu"}, "device 'tpu'.*cpu"),
        ({"device": "cpu:x"}, "device 'cpu:x'.*cpu"),
    ],
)
def test_impossible_options(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Separator(build("bandsplit", features=8, hidden=8, blocks=0), **options)


@pytest.mark.parametrize("stem", ["../../vocals", "C:vocals", "a\\b", "", "a\n", 1, ["vocals"]])
def test_stems_of_a_network_name_files_of_the_folder_that_is_asked_for(stem: Any) -> None:
    for stems in {"targets": (stem,)}, {"residual": stem}:
        network = build("conv1d", channels=[])
        network.config = dataclasses.replace(network.config, **stems)
        with pytest.raises(ModelError, match=rf"stem {re.escape(repr(stem))}, and no file"):
            Separator(network)


@pytest.mark.parametrize("overlap", [0.2, 0.25, 0.5])
def test_segments_of_a_network_with_strides_start_on_its_grid(overlap: float) -> None:
    """Then they do to a sound in the middle what the whole does, wherever it lies."""
    torch.manual_seed(0)
    network = build("spleeter", widths=(2, 4, 4), n_fft=256, hop=64, heard=64).eval()
    mixture = music(3 * RATE, 2)
    segment = 21.4 * network.grid / RATE
    parts = Separator(network, segment=segment, overlap=overlap)(mixture, RATE)["vocals"]
    whole = Separator(network, segment=4.0)(mixture, RATE)["vocals"]
    np.testing.assert_allclose(parts, whole, atol=1e-3 * np.abs(whole).max())


@pytest.mark.parametrize("overlap", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("hops", [8, 9, 16, 17, 24, 32, 43])  # of a grid of eight
def test_no_segment_ends_without_a_fade(hops: int, overlap: float) -> None:
    network = build("spleeter", widths=(2, 4, 4), n_fft=256, hop=64, heard=64)
    assert network.grid == 8 * 64
    fade = fade_samples(network, 64 * hops, overlap)
    assert overlap * hops / 2 - 1 < fade / 64 <= hops / 2
    assert fade % 64 == 0


def test_unusable_weights_are_noticed() -> None:
    network = build("bandsplit", features=8, hidden=8, blocks=0)
    torch.nn.init.constant_(network.encoders[0].weight, float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        Separator(network)(music(RATE), RATE)


def test_a_damaged_song_is_not_blamed_on_the_weights_alone(separator: Separator) -> None:
    with pytest.raises(ModelError, match=r"song peaks at 1e\+30 of full scale.*damaged"):
        separator(np.full((2, RATE), 1e30, np.float32), RATE)


def test_four_stems_sum_to_the_mixture() -> None:
    network = build(
        "bandsplit",
        targets=["vocals", "drums", "bass"],
        residual="other",
        features=8,
        hidden=8,
        blocks=1,
    )
    mixture = music(RATE, 2)
    stems = Separator(network, segment=0.5)(mixture, 48000)
    assert list(stems) == ["vocals", "drums", "bass", "other"]
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)
