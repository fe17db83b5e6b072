"""What the package promises of its shipped weights, on the demo song: real music, in the repo."""

import socket
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from unbraid import Separator, load_audio, save_audio
from unbraid.data.conditions import treated
from unbraid.errors import UnbraidWarning
from unbraid.evaluation import sdr

DEMO = Path(__file__).parents[1] / "demo"
RATE = 44100
EXCERPT = slice(10 * RATE, 26 * RATE)

PROMISED = ["16 kHz", "12 kHz", "MP3 128", "mono", "-12 dB", "swapped", "22.05 kHz"]

Stems = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def separator() -> Separator:
    return Separator.from_pretrained()


@pytest.fixture(scope="module")
def true() -> Stems:
    mixture = load_audio(DEMO / "lithium.flac")[0][:, EXCERPT]
    vocals = load_audio(DEMO / "lithium-vocals.flac")[0][:, EXCERPT]
    return {"vocals": vocals, "accompaniment": mixture - vocals}


@pytest.fixture(scope="module")
def estimates(separator: Separator, true: Stems) -> Stems:
    return separator(true["vocals"] + true["accompaniment"], RATE)


def gains(mixture: np.ndarray, stems: Stems, estimates: Stems) -> dict[str, float]:
    """SDR of each stem less that of the mixture, in dB."""
    return {stem: sdr(stems[stem], estimates[stem]) - sdr(stems[stem], mixture) for stem in stems}


@pytest.fixture(scope="module")
def as_is(true: Stems, estimates: Stems) -> dict[str, float]:
    return gains(true["vocals"] + true["accompaniment"], true, estimates)


def test_both_stems_are_closer_to_the_truth_than_the_mixture(as_is: dict[str, float]) -> None:
    assert as_is["vocals"] > 5
    assert as_is["accompaniment"] > 1


@pytest.mark.parametrize("condition", PROMISED)
def test_any_source_is_separated_as_well(
    separator: Separator, true: Stems, as_is: dict[str, float], condition: str
) -> None:
    mixture, stems = treated(true, condition, RATE)
    made = gains(mixture, stems, separator(mixture, RATE))
    assert made["vocals"] > as_is["vocals"] - 0.5


def test_segments_cost_little_against_the_whole(
    separator: Separator, true: Stems, estimates: Stems
) -> None:
    mixture = true["vocals"] + true["accompaniment"]
    whole = Separator(separator.model, segment=20.0)(mixture, RATE)["vocals"]
    parts = estimates["vocals"]
    assert abs(sdr(true["vocals"], whole) - sdr(true["vocals"], parts)) < 0.3
    # a click at a border would be a step that the whole doesn't have
    assert np.abs(np.diff(parts - whole)).max() < 0.5 * np.abs(np.diff(whole)).max()


def test_the_first_ten_milliseconds_are_as_quiet_as_they_should_be(
    true: Stems, estimates: Stems
) -> None:
    mixture = true["vocals"] + true["accompaniment"]
    start = slice(0, RATE // 100)
    for stem in estimates.values():
        assert np.abs(stem[:, start]).max() <= 1.2 * np.abs(mixture[:, : RATE // 10]).max()


def test_where_surely_nobody_sings_the_song_is_left_alone(separator: Separator) -> None:
    """Guitars, without the voice over them."""
    song, vocals = (load_audio(DEMO / f"{name}.flac")[0] for name in ("lithium", "lithium-vocals"))
    instrumental = (song - vocals)[:, -12 * RATE :]
    with pytest.warns(UnbraidWarning, match="nothing was taken for vocals"):
        stems = separator(instrumental, RATE)
    assert not stems["vocals"].any()
    np.testing.assert_array_equal(stems["accompaniment"], instrumental)


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, true: Stems) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    stems = Separator.from_pretrained()(true["vocals"][:, :RATE], RATE)
    assert stems["vocals"].any()


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".m4a"])
def test_command_line_keeps_length_rate_and_sum(
    tmp_path: Path, suffix: str, unbraid: Callable[..., CompletedProcess[str]]
) -> None:
    song = tmp_path / f"04 絆ふぉーえばー{suffix}"
    audio = load_audio(DEMO / "lithium.flac")[0][:, : 6 * RATE]
    if suffix == ".m4a":
        encode_aac(song, audio)
    else:
        save_audio(song, audio, RATE)
    assert unbraid("separate", song, "-o", tmp_path / "out").returncode == 0
    mixture, rate = load_audio(song)
    stems = [
        soundfile.read(tmp_path / "out" / song.stem / f"{stem}.wav", always_2d=True)[0].T
        for stem in ("vocals", "accompaniment")
    ]
    assert rate == RATE
    step = 0 if suffix == ".flac" else 2**-15
    np.testing.assert_allclose(stems[0] + stems[1], mixture, rtol=0, atol=step + 1e-7)


def encode_aac(path: Path, audio: np.ndarray) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(audio, "fltp", "stereo")
        frame.sample_rate = RATE
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
