"""The separator's promises, held by a network with random weights, as they don't need good ones."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid import Separator
from unbraid.errors import AudioError, ConfigError, ModelError, UnbraidWarning
from unbraid.gating import AHEAD
from unbraid.models import build
from unbraid.models.presence import FEATURES, Gate
from unbraid.overlap import fade_samples

RATE = 44100
HOP = 2048
SEGMENT = 1.0


@pytest.fixture(scope="module")
def separator() -> Separator:
    torch.manual_seed(0)
    network = build("bandsplit", features=8, hidden=8, blocks=1)
    return Separator(network, device="cpu", segment=SEGMENT, batch_size=2)


def music(samples: int, channels: int = 2, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((channels, samples))
    return (0.1 * noise).astype(np.float32)


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
    with pytest.warns(UnbraidWarning, match="5 channels"):
        stems = separator(mixture, RATE)
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


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_rates_that_cannot_be(separator: Separator, rate: float) -> None:
    with pytest.raises(AudioError, match=r"sample_rate .*positive number of Hz"):
        separator(np.zeros((2, 100), np.float32), rate)


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


class Cancelled(Exception):
    pass


def cancel(fraction: float) -> None:
    raise Cancelled


def test_cancel_leaves_no_file(separator: Separator, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, music(3 * RATE).T, RATE)
    with pytest.raises(Cancelled):
        separator.separate_file(song, tmp_path / "out", progress=cancel)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("rate", [22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_output_like_input_and_exact_null(
    separator: Separator, tmp_path: Path, subtype: str, rate: int, channels: int
) -> None:
    song = tmp_path / "песня.wav"
    soundfile.write(song, music(rate * 2 + 13, channels).T, rate, subtype)
    paths = separator.separate_file(song, tmp_path / "out")
    mixture = soundfile.read(song, always_2d=True)[0]
    total = np.zeros_like(mixture)
    for path in paths.values():
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (rate, channels, subtype)
        total += soundfile.read(path, always_2d=True)[0]
    tolerance = 1e-7 if subtype == "FLOAT" else 0
    np.testing.assert_allclose(total, mixture, rtol=0, atol=tolerance)


def test_files_are_the_same_twice(separator: Separator, tmp_path: Path) -> None:
    song = tmp_path / "song.flac"
    soundfile.write(song, music(2 * RATE).T, RATE)
    for format in ("wav", "flac", "mp3", "ogg"):
        first = separator.separate_file(song, tmp_path / "1", format=format)
        second = separator.separate_file(song, tmp_path / "2", format=format)
        for stem, path in first.items():
            assert path.read_bytes() == second[stem].read_bytes()


def test_a_stem_beyond_full_scale_becomes_float(tmp_path: Path) -> None:
    """A network that answers with the mixture's opposite: the rest is twice the mixture."""

    class Opposite(torch.nn.Module):
        config = build("bandsplit", features=8, hidden=8, blocks=0).config

        def forward(self, mixture: torch.Tensor) -> torch.Tensor:
            return -mixture[:, None]

    song = tmp_path / "loud.wav"
    tone = np.sin(np.arange(RATE) / 20) * 0.8
    soundfile.write(song, np.stack([tone, tone]).T, RATE, "PCM_16")
    with pytest.warns(UnbraidWarning, match=r"accompaniment peaks at \+4.1 dBFS.*float"):
        paths = Separator(Opposite()).separate_file(song, tmp_path / "out")
    assert soundfile.info(paths["vocals"]).subtype == "PCM_16"
    assert soundfile.info(paths["accompaniment"]).subtype == "FLOAT"
    stems = [soundfile.read(path)[0] for path in paths.values()]
    assert np.abs(stems[1]).max() == pytest.approx(1.6, abs=1e-3)
    np.testing.assert_allclose(sum(stems), soundfile.read(song)[0], atol=1e-6)


class Sings(Gate):
    """Open if any cell that it knows of peaks above -12 dBFS."""

    def __init__(self) -> None:
        super().__init__(1)

    def remembered(self, cell: torch.Tensor, past: torch.Tensor | None) -> torch.Tensor:
        return cell if past is None else cell.maximum(past)

    def scored(self, past: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        return (past.maximum(cells.amax(0))[:1] > 0).float()


class Gated(torch.nn.Module):
    """Takes half of the song for vocals; its gate hears where the song peaks above -12 dBFS."""

    config = build("bandsplit", features=8, hidden=8, blocks=0).config
    grid = 43 * config.hop
    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.gates = torch.nn.ModuleList([Sings()])

    def with_evidence(self, mixture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked += 1
        peaks = mixture.abs().amax(1).unflatten(1, (-1, self.config.hop)).amax(2)
        evidence = (peaks > 0.25).float()[:, None, None]
        return mixture[:, None] / 2, evidence.expand(-1, 1, FEATURES, -1)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_stem_that_is_nowhere_in_the_song_is_silent_and_a_warning_tells(
    tmp_path, rate: int
) -> None:
    soft = tmp_path / "soft.wav"
    soundfile.write(soft, music(11 * rate).T.clip(-0.1, 0.1), rate, "PCM_16")
    with pytest.warns(UnbraidWarning, match="nothing was taken for vocals") as told:
        paths = Separator(Gated()).separate_file(soft, tmp_path / "soft")
    assert len(told) == 1
    assert not soundfile.read(paths["vocals"])[0].any()
    np.testing.assert_array_equal(
        soundfile.read(paths["accompaniment"])[0], soundfile.read(soft)[0]
    )


def test_of_a_silent_stem_of_an_array_a_warning_tells_where_it_was_asked_for() -> None:
    soft = music(11 * RATE).clip(-0.1, 0.1)
    with pytest.warns(UnbraidWarning, match="nothing was taken for vocals") as told:
        stems = Separator(Gated())(soft, RATE)
    assert [each.filename for each in told] == [__file__]
    assert not stems["vocals"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Separator(Gated())(np.zeros_like(soft), RATE)


def test_warnings_of_silence_come_in_the_order_of_the_stems(tmp_path: Path) -> None:
    targets = ("vocals", "drums", "bass", "guitar", "piano")

    class Deaf(torch.nn.Module):
        config = build("bandsplit", features=8, hidden=8, blocks=0, targets=targets).config

        def forward(self, mixture: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(mixture[:, None].expand(-1, len(targets), -1, -1))

    soundfile.write(tmp_path / "song.wav", music(RATE).T, RATE)
    with pytest.warns(UnbraidWarning) as told:
        Separator(Deaf()).separate_file(tmp_path / "song.wav", tmp_path / "out")
    assert [str(each.message).split()[4] for each in told] == [f"{stem}," for stem in targets]


def test_progress_is_told_while_the_rest_of_the_song_is_waited_for() -> None:
    network = Gated()
    with pytest.raises(Cancelled):
        Separator(network, segment=SEGMENT)(music(29 * RATE) / 5, RATE, progress=cancel)
    assert 0 < network.asked < 10  # of 39 segments


def test_silence_holds_no_vocals_and_nobody_is_warned(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros((11 * RATE, 2)), RATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Separator(Gated()).separate_file(tmp_path / "silence.wav", tmp_path / "out")


def test_a_stem_is_heard_where_the_rest_of_the_song_speaks_for_it() -> None:
    quiet, loud = music(60 * RATE) * 0.001, music(RATE)
    mixture = np.concatenate([quiet, loud, quiet], axis=1)
    separated = Separator(Gated())(mixture, RATE)
    heard = np.abs(separated["vocals"]).max(0) > 0
    first = (60 * RATE // Gated.grid - AHEAD) * Gated.grid
    fade = 3 * Gated.grid // 2  # from the middle of the cell before the one that opens first
    assert not heard[: first - fade].any()
    assert heard[first - fade : first].any()
    np.testing.assert_allclose(separated["vocals"][:, first:], mixture[:, first:] / 2, atol=1e-6)
    assert separated["vocals"].shape == mixture.shape


def test_one_stem_alone(separator: Separator, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, music(RATE).T, RATE)
    paths = separator.separate_file(
        song, tmp_path, stems="accompaniment", name="{track} ({stem}).{ext}"
    )
    assert list(paths) == ["accompaniment"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "song (accompaniment).wav",
        "song.wav",
    ]


def test_unknown_stem(separator: Separator, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stem 'drums'.*vocals, accompaniment"):
        separator.separate_file(tmp_path / "song.wav", tmp_path, stems=["drums"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "{album}/{stem}.{ext}"}, "its fields are {track}"),
        ({"name": "{track}.{ext}"}, "several stems"),
        ({"format": "aac"}, "format 'aac': give 'wav', 'flac', 'mp3', 'ogg', 'opus'"),
        ({"format": ".flac"}, "format '.flac': give"),
        ({"format": "MP3"}, "format 'MP3': give"),
        ({"format": "mp3", "bit_depth": "24"}, "no bit depth"),
        ({"format": "flac", "bit_depth": "32f"}, "no 32-bit float"),
        ({"bit_depth": "8"}, "bit_depth '8': give 'auto', '16', '24', '32f'"),
        ({"bit_depth": 16}, "bit_depth 16: give"),
    ],
)
def test_what_cannot_be_written_is_refused(separator, tmp_path, options, message) -> None:
    soundfile.write(tmp_path / "song.wav", music(1000).T, RATE)
    with pytest.raises(ConfigError, match=message):
        separator.separate_file(tmp_path / "song.wav", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


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


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    """Peak memory of one and of four minutes, each in a process of its own."""
    import subprocess
    import sys

    program = (
        "import resource, sys, torch\n"
        "from unbraid import Separator\n"
        "from unbraid.models import build\n"
        "torch.manual_seed(0)\n"
        "network = build('bandsplit', features=8, hidden=8, blocks=1)\n"
        "Separator(network, segment=2.0).separate_file(sys.argv[1], sys.argv[2])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    peaks = []
    for minutes in (1, 4):
        song = tmp_path / f"{minutes}.flac"
        with soundfile.SoundFile(song, "w", 44100, 2) as file:
            for second in range(60 * minutes):
                file.write(music(RATE, 2, second).T)
        run = subprocess.run(
            [sys.executable, "-c", program, song, tmp_path / f"out{minutes}"],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(run.stdout))
    assert peaks[1] < 1.05 * peaks[0]
