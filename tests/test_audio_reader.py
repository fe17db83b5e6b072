"""Reading: every format, every length, every name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from sounds import RATE, encode, read_blocks, tone
from unbraid.audio import info as info_module
from unbraid.audio import load_audio, probe, save_audio
from unbraid.errors import AudioError


@pytest.mark.parametrize(
    ("name", "subtype", "depth", "error"),
    [
        ("a.wav", "PCM_U8", "16", 2**-7),
        ("a.wav", "PCM_16", "16", 2**-15),
        ("a.wav", "PCM_24", "24", 2**-23),
        ("a.wav", "PCM_32", "32f", 2**-24),
        ("a.wav", "FLOAT", "32f", 0),
        ("a.wav", "DOUBLE", "32f", 0),
        ("a.flac", "PCM_24", "24", 2**-23),
        ("a.aiff", "PCM_16", "16", 2**-15),
        ("a.au", "PCM_24", "24", 2**-23),
        ("a.caf", "ALAC_24", "24", 2**-23),
        ("a.ogg", "VORBIS", "16", 0.05),
        ("a.mp3", "MPEG_LAYER_III", "16", 0.05),
    ],
)
def test_libsndfile_formats(tmp_path, name, subtype, depth, error):
    audio = tone(30000)
    soundfile.write(tmp_path / name, audio.T, RATE, subtype)
    loaded, rate = load_audio(tmp_path / name)
    assert rate == RATE
    assert loaded.shape == audio.shape
    assert np.abs(loaded - audio).max() <= error
    info = probe(tmp_path / name)
    assert (info.channels, info.sample_rate, info.bit_depth) == (2, RATE, depth)
    assert info.samples in (30000, None)
    assert info.duration == pytest.approx(30000 / RATE, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "codec", "sample_format", "depth", "exact"),
    [
        ("a.m4a", "aac", "fltp", "16", False),
        ("a.m4a", "alac", "s16p", "16", True),
        ("a.m4a", "alac", "s32p", "24", True),
        ("a.webm", "libopus", "flt", "16", False),
        ("a.wma", "wmav2", "fltp", "16", False),
        ("a.mka", "flac", "s32", "24", True),
        ("a.mkv", "pcm_u8", "u8", "16", True),
        ("a.mov", "pcm_s24le", "s32", "24", True),
        ("a.mov", "pcm_f32le", "flt", "32f", True),
    ],
)
def test_pyav_formats(tmp_path, name, codec, sample_format, depth, exact):
    rate = 48000 if codec == "libopus" else RATE
    audio = tone(30000, rate=rate)
    path = encode(tmp_path / name, codec, audio, sample_format, rate)
    loaded, loaded_rate = load_audio(path)
    info = probe(path)
    assert (loaded_rate, info.channels, info.bit_depth) == (rate, 2, depth)
    assert info.duration == pytest.approx(30000 / rate, abs=0.06)
    if exact:
        tolerance = {"u8": 2**-7, "s16p": 2**-15}.get(sample_format, 2**-22)
        assert loaded.shape == audio.shape
        assert np.abs(loaded - audio).max() <= tolerance
    elif codec != "wmav2":  # its container cannot state the encoder's delay
        length = min(loaded.shape[1], 30000)
        assert abs(loaded.shape[1] - 30000) <= 1024
        assert np.corrcoef(loaded[0, :length], audio[0, :length])[0, 1] > 0.99


def test_sound_of_a_video(tmp_path):
    loaded, _ = load_audio(encode(tmp_path / "clip.mp4", "aac", tone(RATE), video=True))
    assert loaded.shape[1] == pytest.approx(RATE, abs=1024)


def test_six_channels_keep_their_order(tmp_path):
    audio = tone(9000, channels=6)
    encode(tmp_path / "a.mka", "flac", audio, "s16")
    soundfile.write(tmp_path / "a.wav", audio.T, RATE)
    assert (
        np.abs(load_audio(tmp_path / "a.mka")[0] - load_audio(tmp_path / "a.wav")[0]).max() < 1e-4
    )


def by_ffmpeg(path: Path) -> np.ndarray:
    """What FFmpeg, which knows how each format orders its channels, reads."""
    with av.open(str(path)) as container:
        frames = []
        for frame in container.decode(audio=0):
            if not frames:
                packing = av.AudioResampler("flt", frame.layout, frame.sample_rate)
            frames += [packed.to_ndarray() for packed in packing.resample(frame)]
    return np.concatenate(frames, axis=1).reshape(-1, frame.layout.nb_channels).T


def loudest(audio: np.ndarray) -> list[int]:
    """The strongest frequency of each channel in its first second of 48000 samples, in Hz."""
    return [int(spectrum.argmax()) for spectrum in np.abs(np.fft.rfft(audio[:, :48000]))]


@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("name", ["a.ogg", "a.opus"])
def test_channels_are_where_ffmpeg_has_them(tmp_path, name, channels):
    tones = [20 * (channel + 1) for channel in range(channels)]  # low, as one may be the LFE
    time = np.arange(48000) / 48000
    audio = 0.3 * np.sin(2 * np.pi * np.array(tones)[:, None] * time)
    path = save_audio(tmp_path / name, audio, 48000)
    assert loudest(by_ffmpeg(path)) == tones
    if name == "a.ogg":  # Opus is read by FFmpeg anyway
        assert loudest(load_audio(path)[0]) == tones


def test_eight_channels_of_compressed_audio(tmp_path):
    path = save_audio(tmp_path / "a.opus", tone(30000, channels=8, rate=48000), 48000)
    program = (
        "import sys, numpy, unbraid; numpy.save(sys.argv[2], unbraid.load_audio(sys.argv[1])[0])"
    )
    # in a process of its own, which a decoder could take down
    subprocess.run([sys.executable, "-c", program, path, tmp_path / "a.npy"], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), by_ffmpeg(path))


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.m4a"])
@pytest.mark.parametrize("size", [777, 5000])
def test_blocks_equal_the_whole(tmp_path, name, size):
    path = tmp_path / name
    if name == "a.m4a":
        encode(path, "aac", tone(20000))
    elif name == "a.opus":
        soundfile.write(path, tone(20000).T, 48000, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, tone(20000).T, RATE)
    whole, _ = load_audio(path)
    assert np.array_equal(read_blocks(path, size), whole)
    assert whole.shape[1] == 20000 or name == "a.m4a"


@settings(max_examples=25)
@given(samples=st.integers(0, 3000), size=st.integers(1, 4000), channels=st.integers(1, 3))
def test_every_length(tmp_path_factory, samples, size, channels):
    path = tmp_path_factory.mktemp("length") / "a.wav"
    audio = tone(samples, channels)
    soundfile.write(path, audio.T, RATE, "FLOAT")
    assert np.array_equal(read_blocks(path, size), audio)
    assert probe(path).samples == samples


@pytest.mark.parametrize("samples", [1, 2, 575, 1152, 1153])
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac"])
def test_short_lossy_files_keep_their_length(tmp_path, name, samples):
    soundfile.write(tmp_path / name, tone(samples).T, RATE)
    assert load_audio(tmp_path / name)[0].shape == (2, samples)


@pytest.mark.parametrize("name", ["04 絆ふぉーえばー.wav", "Песня.wav", "a b'c\"d.m4a"])
def test_names(tmp_path, name):
    path = tmp_path / name
    if path.suffix == ".wav":
        soundfile.write(path, tone(100).T, RATE)
    else:
        encode(path, "alac", tone(100), "s16p")
    assert load_audio(str(path))[0].shape == (2, 100)


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names there")
@pytest.mark.parametrize("name", ["AC: DC.m4a", "CD1: Live/song.m4a", "file:a.m4a"])
def test_a_colon_makes_no_protocol(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    encode(tmp_path / name, "alac", tone(100), "s16p")
    assert load_audio(name)[0].shape == (2, 100)
    Path(name).write_bytes(b"nothing " * 99)
    with pytest.raises(AudioError, match=rf"^{re.escape(name)}: .*not an audio file.*\Z"):
        load_audio(Path(name))


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_name_that_is_not_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"chanson \xe9t\xe9.wav")
    soundfile.write(info_module.native(path), tone(100).T, RATE)
    assert load_audio(path)[0].shape == (2, 100)


def test_suffix_does_not_matter(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(100).T, RATE)
    (tmp_path / "a.wav").rename(tmp_path / "a.raw")
    assert probe(tmp_path / "a.raw").format == "wav"
    encode(tmp_path / "b.m4a", "alac", tone(100), "s16p").rename(tmp_path / "b.wav")
    assert probe(tmp_path / "b.wav").codec == "alac"


def test_tag_that_is_not_utf8(tmp_path):
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(5000).T, RATE)
    title = (
        b"TIT2" + (10).to_bytes(4, "big") + b"\0\0" + b"\x03\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9"
    )
    path.write_bytes(b"ID3\x03\0\0" + bytes([0, 0, 0, len(title)]) + title + path.read_bytes())
    assert load_audio(path)[0].shape == (2, 5000)


def test_integers_of_64_bits(tmp_path):
    """Neither libsndfile reads them nor does PyAV give them to NumPy."""
    path, audio = tmp_path / "a.wav", tone(1000)
    soundfile.write(path, audio.T, RATE, "DOUBLE")
    data = bytearray(path.read_bytes())
    data[data.index(b"fmt ") + 8] = 1  # PCM in place of floats
    start = data.index(b"data") + 8
    integers = np.rint(audio.T.astype(np.float64) * 2.0**63).astype("<i8")
    data[start : start + integers.nbytes] = integers.tobytes()
    path.write_bytes(data)
    assert probe(path).bit_depth == "32f"
    np.testing.assert_allclose(load_audio(path)[0], audio, atol=2**-24)


def test_import_is_light():
    program = (
        "import sys, unbraid.audio;"
        "assert not {'av', 'soxr', 'torch', 'scipy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ})
