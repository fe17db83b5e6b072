"""What is said of songs that are cut off, hold several tracks, or would be overwritten."""

import re
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from unbraid import Separator
from unbraid.errors import ConfigError, UnbraidWarning

RATE = 44100
SECONDS = 3


def song(path: Path, **options) -> Path:
    """Three seconds of noise in stereo."""
    noise = np.random.default_rng(0).normal(0, 0.1, (SECONDS * RATE, 2))
    soundfile.write(path, noise, RATE, **options)
    return path


def film(path: Path, tracks: int = 1, picture: int = 0, codec: str = "flac") -> Path:
    """Three seconds of noise in each track, and a video of so many seconds."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, RATE, layout="stereo") for _ in range(tracks)]
        if picture:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for _ in range(picture * 10):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
                container.mux(video.encode(image))
            container.mux(video.encode(None))
        noise = np.random.default_rng(0).integers(-999, 999, (1, 2 * RATE), np.int16)
        for second in range(SECONDS):
            for stream in streams:
                frame = av.AudioFrame.from_ndarray(noise, "s16", "stereo")
                frame.sample_rate, frame.pts = RATE, second * RATE
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def said(separator: Separator, path: Path) -> list[str]:
    """The warnings about a song."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UnbraidWarning)
        separator.separate_file(path, path.parent / "stems", stems=["vocals"])
    return [str(w.message) for w in caught if issubclass(w.category, UnbraidWarning)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.wav", {"format": "RF64"}),
        ("a.aiff", {}),
        ("a.au", {}),
        ("a.au", {"endian": "LITTLE"}),
        ("a.w64", {}),
        ("a.caf", {}),
        ("a.mp3", {}),
        ("a.mp3", {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
    ],
)
def test_a_song_that_is_cut_off_is_told(separator, tmp_path, name, options) -> None:
    path = song(tmp_path / name, **options)
    assert said(separator, path) == []
    cut(path)
    (message,) = said(separator, path)
    assert message.startswith("the file says 3.0 s but holds 1.")
    assert message.endswith(" s: get a whole copy")


@pytest.mark.parametrize(("name", "subtype"), [("a.ogg", "VORBIS"), ("a.opus", "OPUS")])
def test_an_ogg_file_that_breaks_off_is_told(separator, tmp_path, name, subtype) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).normal(0, 0.1, (SECONDS * 48000, 2))
    soundfile.write(path, noise, 48000, format="OGG", subtype=subtype)
    assert said(separator, path) == []
    whole = path.read_bytes()
    cut(path)
    (message,) = said(separator, path)
    assert re.fullmatch(r"the file breaks off after [01]\.\d s: get a whole copy", message)
    path.write_bytes(whole[:-1])
    assert "breaks off" in said(separator, path)[0]
    path.write_bytes(whole[: whole.rindex(b"OggS") + 5])  # within the header of a page
    assert "breaks off" in said(separator, path)[0]


def test_an_ogg_file_that_ends_after_a_page_or_with_something_else_may_be_whole(
    separator, tmp_path
) -> None:
    path = song(tmp_path / "a.ogg")
    whole = path.read_bytes()
    for content in (whole[: whole.rindex(b"OggS")], whole + bytes(100), whole + bytes(10**5)):
        path.write_bytes(content)
        assert said(separator, path) == []


@pytest.mark.parametrize("picture", [0, 1, 9])
@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "flac"), ("a.avi", "pcm_s16le")])
def test_a_film_that_is_cut_off_is_told(separator, tmp_path, name, codec, picture) -> None:
    path = film(tmp_path / name, picture=picture, codec=codec)
    assert said(separator, path) == []
    cut(path)
    assert said(separator, path)[0].startswith("the file says 3.0 s but holds 1.")


def wma(path: Path) -> Path:
    """Three seconds of noise."""
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 2048)).astype(np.float32)
    with av.open(str(path), "w", "asf") as container:
        stream = container.add_stream("wmav2", RATE, layout="stereo", bit_rate=128_000)
        for start in range(0, SECONDS * RATE, 2048):
            frame = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_wma_file_that_is_cut_off_between_packets_is_told(separator, tmp_path) -> None:
    path = wma(tmp_path / "a.wma")
    assert said(separator, path) == []
    whole = path.read_bytes()
    packet = 3200  # bytes
    path.write_bytes(whole[: -(len(whole) // packet // 2) * packet])
    (message,) = said(separator, path)
    assert re.fullmatch(r"the file says 3\.\d s but holds 1\.\d s: get a whole copy", message)
    properties = whole.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    broadcast = bytearray(path.read_bytes())
    broadcast[properties + 88] |= 1
    path.write_bytes(broadcast)
    assert said(separator, path) == []


@pytest.mark.parametrize("stated", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_wav_file_from_a_pipe_promises_nothing(separator, tmp_path, stated) -> None:
    path = song(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = stated.to_bytes(4, "little")
    path.write_bytes(data)
    assert said(separator, path) == []


def test_an_mp3_file_without_a_count_of_frames_promises_nothing(separator, tmp_path) -> None:
    """Its length is guessed from the first frames, which are large here."""
    quiet = np.zeros((SECONDS * RATE, 2))
    noise = np.random.default_rng(0).normal(0, 0.1, quiet.shape)
    path = tmp_path / "a.mp3"
    audio = np.concatenate([quiet, noise])
    soundfile.write(path, audio, RATE, bitrate_mode="VARIABLE", compression_level=0.3)
    data = path.read_bytes()
    path.write_bytes(data[data.index(b"\xff\xfb", max(data.find(b"Xing"), data.find(b"Info"))) :])
    with av.open(str(path)) as container:
        assert container.duration > 1.2e6 * 2 * SECONDS
    assert said(separator, path) == []


def test_an_mp3_file_with_a_picture_that_is_cut_off_is_told(separator, tmp_path) -> None:
    path = song(tmp_path / "a.mp3")
    size = bytes([0, 1, 0, 0])  # 2 ** 14, seven bits a byte
    path.write_bytes(b"ID3\x04\0\0" + size + bytes(2**14) + path.read_bytes())
    cut(path)
    assert said(separator, path)[0].startswith("the file says 3.0 s but holds 1.")


def test_several_tracks_are_told(separator, tmp_path) -> None:
    assert said(separator, film(tmp_path / "a.mka", tracks=2)) == [
        "2 audio tracks: the first is separated"
    ]


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("format", ["wav", "flac"])  # a FLAC file that would clip becomes .wav
def test_a_song_is_not_overwritten_by_its_stem(separator, tmp_path, link, format) -> None:
    (tmp_path / "songs").mkdir()
    path = song(tmp_path / "songs" / "a.wav")
    before, out_dir = path.read_bytes(), path.parent
    if link:
        out_dir = tmp_path / "link"
        out_dir.symlink_to(path.parent)
    with pytest.raises(ConfigError, match=r"a\.wav: is the song itself.*another name or out_dir"):
        separator.separate_file(
            path, out_dir, stems=["vocals"], name="{track}.{ext}", format=format
        )
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["a.wav"]
