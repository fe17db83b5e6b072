"""Reading: every format, every length, every kind of broken file."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.audio import AudioReader, Resampler, load_audio, probe, save_audio
from unbraid.audio import info as info_module
from unbraid.errors import AudioError

RATE = 44100


def tone(samples: int, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """A sine with a little noise, other in each channel: float32 `[channels, samples]`."""
    time = np.arange(samples) / rate
    noise = np.random.default_rng(0).normal(0, 0.01, (channels, samples))
    sines = [np.sin(2 * np.pi * 440 * (c + 1) * time) * 0.4 for c in range(channels)]
    return (np.stack(sines) + noise).astype(np.float32)


def encode(
    path: Path,
    codec: str | None,
    audio: np.ndarray,
    sample_format: str = "fltp",
    rate: int = RATE,
    video: bool = False,
) -> Path:
    """Write audio (and a black video) with PyAV."""
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(audio)]
    with av.open(str(path), "w") as container:
        if video:
            picture = container.add_stream("mpeg4", rate=10)
            picture.width = picture.height = 64
            picture.pix_fmt = "yuv420p"
        if codec is not None:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            stream.codec_context.format = sample_format
            stream.codec_context.bit_rate = 128_000  # WMA has no default
        if video:
            for number in range(10):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
                image.pts = number
                container.mux(picture.encode(image))
            container.mux(picture.encode(None))
        if codec is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), "fltp", layout)
            frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def read_blocks(path: Path, size: int) -> np.ndarray:
    with AudioReader(path) as reader:
        blocks = []
        while (block := reader.read(size)).shape[1]:
            assert block.dtype == np.float32
            assert block.flags.c_contiguous
            blocks.append(block)
        assert all(block.shape[1] == size for block in blocks[:-1])
        return np.concatenate([*blocks, block], axis=1)


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
    assert "not an audio file" in one_line_error(Path(name))


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


def test_mp3_without_length_is_not_cut(tmp_path):
    """Loud, silent, loud in variable bit rate: a length guessed from the first frames is short."""
    path = tmp_path / "a.mp3"
    loud = tone(60000)
    audio = np.concatenate([loud, loud * 0, loud], axis=1)
    soundfile.write(
        path, audio.T, RATE, bitrate_mode="VARIABLE", compression_level=0.3, format="MP3"
    )
    data = path.read_bytes()
    tag = max(data.find(b"Xing"), data.find(b"Info"))
    path.write_bytes(data[data.index(b"\xff\xfb", tag) :])
    assert soundfile.info(path).frames < 150000
    assert load_audio(path)[0].shape[1] >= 180000


@pytest.mark.parametrize("junk", ["before", "after"])
def test_junk_around_an_mp3_is_skipped(tmp_path, junk):
    path = tmp_path / "a.mp3"
    soundfile.write(path, tone(50000).T, RATE)
    noise, data = np.random.default_rng(0).bytes(3000), path.read_bytes()
    path.write_bytes(noise + data if junk == "before" else data + noise)
    assert load_audio(path)[0].shape[1] >= 50000


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF])
def test_unfinished_wav_is_read_whole(tmp_path, stated):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(5000).T, RATE)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = stated.to_bytes(4, "little")
    path.write_bytes(data)
    assert load_audio(path)[0].shape == (2, 5000)


def test_flac_of_unstated_length_is_read_whole(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(5000).T, RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert load_audio(path)[0].shape == (2, 5000)


@pytest.mark.parametrize("name", ["a.wav", "a.ogg", "a.aiff"])
def test_file_of_no_samples(tmp_path, name):
    soundfile.write(tmp_path / name, tone(0).T, RATE)
    audio, rate = load_audio(tmp_path / name)
    assert (audio.shape, rate) == ((2, 0), RATE)
    assert load_audio(tmp_path / name, 16000)[0].shape == (2, 0)


def one_line_error(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_what_is_not_audio(tmp_path, capfd):
    assert "no such file" in one_line_error(tmp_path / "missing.wav")
    assert one_line_error(tmp_path).startswith(f"{tmp_path}: a folder, not an audio file")
    (tmp_path / "empty.mp3").touch()
    assert "0 bytes" in one_line_error(tmp_path / "empty.mp3")
    encode(tmp_path / "mute.mp4", None, tone(1), video=True)
    assert "no audio stream" in one_line_error(tmp_path / "mute.mp4")
    noise = np.random.default_rng(0).bytes(100_000)
    for name in ("text.wav", "noise.wav", "noise.mp3", "noise.m4a"):
        (tmp_path / name).write_bytes(b"hello world " * 99 if name == "text.wav" else noise)
        assert "not an audio file that can be read" in one_line_error(tmp_path / name)
    encode(tmp_path / "whole.mp3", "mp3", tone(RATE))
    for name in ("cut.mp3", "cut", "cut.wav"):
        (tmp_path / name).write_bytes((tmp_path / "whole.mp3").read_bytes()[:3000] + noise)
        with contextlib.suppress(AudioError):
            load_audio(tmp_path / name)
    assert capfd.readouterr().err == ""  # no decoder speaks for itself


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert "a pipe" in one_line_error(tmp_path / "a.wav")


def test_a_wav_file_called_mp3_is_read_as_what_it_is(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(RATE).T, RATE, format="WAV")
    assert (probe(tmp_path / "a.mp3").format, probe(tmp_path / "a.mp3").samples) == ("wav", RATE)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_file_without_permission(tmp_path):
    (tmp_path / "a.wav").touch(0)
    assert "permission" in one_line_error(tmp_path / "a.wav").lower()


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.ogg", "a.m4a"])
def test_garbage_in_the_middle(tmp_path, name):
    path = tmp_path / name
    if name == "a.m4a":
        encode(path, "aac", tone(5 * RATE))
    else:
        soundfile.write(path, tone(5 * RATE).T, RATE)
    data = path.read_bytes()
    half, noise = len(data) // 2, np.random.default_rng(0).bytes(len(data) // 8)
    path.write_bytes(data[:half] + noise + data[half + len(noise) :])
    assert "damaged" in one_line_error(path)


@pytest.mark.parametrize("name", ["a.flac", "a.m4a"])
def test_truncated(tmp_path, name):
    path = tmp_path / name
    if name == "a.m4a":
        encode(path, "aac", tone(RATE))
    else:
        soundfile.write(path, tone(RATE).T, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "damaged" in one_line_error(path)


@pytest.mark.parametrize("name", ["a.au", "a.wav", "a.wv", "a.m4a"])
def test_a_song_of_which_nothing_but_the_header_is_there_is_told(tmp_path, name):
    path = tmp_path / name
    if name == "a.wv":
        encode(path, "wavpack", tone(RATE), "s16p")
    elif name == "a.m4a":
        encode(path, "aac", tone(3 * RATE))
    else:
        soundfile.write(path, tone(RATE).T, RATE)
    data = path.read_bytes()
    # in M4A the header is at the end, with the place of the sound in it last
    header = {"a.au": 24, "a.wav": 44, "a.wv": 50_000, "a.m4a": data.find(b"stco")}
    path.write_bytes(data[: header[name]])
    promised = probe(path).promised_duration
    assert load_audio(path)[0].shape[1] == 0
    assert promised is not None
    assert promised >= 1


def test_a_header_that_breaks_off_is_no_bug(tmp_path):
    path = tmp_path / "a.au"
    soundfile.write(path, tone(1000).T, RATE)
    path.write_bytes(path.read_bytes()[:11])
    with contextlib.suppress(AudioError):
        load_audio(path)


def test_a_chain_of_ogg_streams_is_read_to_its_end(tmp_path):
    for name in ("first.ogg", "second.ogg"):
        soundfile.write(tmp_path / name, tone(RATE).T, RATE)
    path = tmp_path / "radio.ogg"
    path.write_bytes(b"".join((tmp_path / f"{n}.ogg").read_bytes() for n in ("first", "second")))
    assert 0 <= load_audio(path)[0].shape[1] - 2 * RATE < 1024  # the joint may be longer
    assert probe(path).duration is None


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (RATE, 1)])
def test_a_chain_of_streams_that_differ_is_not_called_damaged(tmp_path, rate, channels):
    soundfile.write(tmp_path / "first.ogg", tone(RATE).T, RATE)
    soundfile.write(tmp_path / "second.ogg", tone(rate)[:channels].T, rate)
    path = tmp_path / "radio.ogg"
    path.write_bytes(b"".join((tmp_path / f"{n}.ogg").read_bytes() for n in ("first", "second")))
    told = r"radio\.ogg: (a chain of streams|changes from) .* at 1\.000 s; convert it to wav first$"
    with pytest.raises(AudioError, match=told):
        load_audio(path)


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


def overstating_ogg(path: Path, missing: int) -> np.ndarray:
    """A Vorbis file that ends some samples before the length in its last page; what it holds."""
    soundfile.write(path, tone(3 * RATE).T, RATE)
    whole = load_audio(path)[0]
    data = bytearray(path.read_bytes())
    last = data.rindex(b"OggS")
    position = int.from_bytes(data[last + 6 : last + 14], "little") + missing
    data[last + 6 : last + 14] = position.to_bytes(8, "little")
    data[last + 22 : last + 26] = bytes(4)
    crc = 0
    for byte in data[last:]:  # checksum of the page, RFC 3533
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    data[last + 22 : last + 26] = crc.to_bytes(4, "little")
    path.write_bytes(data)
    assert soundfile.info(path).frames == 3 * RATE + missing
    return whole


@pytest.mark.parametrize("missing", [104, 5806])
def test_vorbis_that_ends_a_little_early_is_read_to_its_end(tmp_path, missing):
    path = tmp_path / "a.ogg"
    whole = overstating_ogg(path, missing)
    audio, _ = load_audio(path)
    assert abs(audio.shape[1] - 3 * RATE) < 1024  # the last frame may be longer than it was said
    np.testing.assert_array_equal(audio[:, : whole.shape[1]], whole[:, : audio.shape[1]])
    np.testing.assert_array_equal(read_blocks(path, 1000), audio)


def test_vorbis_that_ends_much_early_is_damaged(tmp_path):
    overstating_ogg(tmp_path / "a.ogg", RATE)
    assert "ends at 3.0" in one_line_error(tmp_path / "a.ogg")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_located(tmp_path, value):
    audio = tone(20000)
    audio[1, 12345] = value
    audio[0, 19000] = np.nan
    soundfile.write(tmp_path / "a.wav", audio.T, 1000, "FLOAT")
    assert "at 12.345 s" in one_line_error(tmp_path / "a.wav")
    with AudioReader(tmp_path / "a.wav") as reader:
        assert reader.read(12345).shape == (2, 12345)


@settings(max_examples=25)
@given(
    samples=st.integers(0, 30000),
    rates=st.sampled_from([(44100, 48000), (48000, 44100), (22050, 44100), (96000, 44100)]),
    seed=st.integers(0, 99),
)
def test_resampling_in_blocks_equals_one_shot(samples, rates, seed):
    audio = tone(samples)
    whole = Resampler(2, *rates).process(audio, last=True)
    random = np.random.default_rng(seed)
    cuts = np.sort(random.integers(0, samples + 1, 5))
    streaming = Resampler(2, *rates)
    blocks = [streaming.process(block) for block in np.split(audio, cuts, axis=1)]
    joined = np.concatenate([*blocks, streaming.process(audio[:, :0], last=True)], axis=1)
    assert abs(joined.shape[1] - round(samples * rates[1] / rates[0])) <= 1
    assert joined.shape == whole.shape
    assert np.abs(joined - whole).max(initial=0) < 1e-6


def test_resampling_keeps_a_tone(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(RATE).T, RATE, "FLOAT")
    audio, rate = load_audio(tmp_path / "a.wav", 48000)
    assert (rate, audio.shape) == (48000, (2, 48000))
    spectrum = np.abs(np.fft.rfft(audio[0]))
    assert spectrum.argmax() == 440
    with pytest.raises(AudioError, match="positive"):
        load_audio(tmp_path / "a.wav", 0)


def test_import_is_light():
    program = (
        "import sys, unbraid.audio;"
        "assert not {'av', 'soxr', 'torch', 'scipy'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ})


def test_a_playlist_reads_no_other_files(tmp_path):
    make = tmp_path / "other.wav"
    soundfile.write(make, np.zeros((4000, 2), np.float32), 8000)
    (tmp_path / "list.mp3").write_text("ffconcat version 1.0\nfile other.wav\n")
    assert "not an audio file that can be read" in one_line_error(tmp_path / "list.mp3")
