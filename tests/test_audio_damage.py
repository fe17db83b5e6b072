"""Reading what is broken, cut off, of unstated length, or no audio at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sounds import RATE, encode, read_blocks, tone
from unbraid.audio import AudioReader, load_audio, probe
from unbraid.errors import AudioError


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


def test_a_playlist_reads_no_other_files(tmp_path):
    make = tmp_path / "other.wav"
    soundfile.write(make, np.zeros((4000, 2), np.float32), 8000)
    (tmp_path / "list.mp3").write_text("ffconcat version 1.0\nfile other.wav\n")
    assert "not an audio file that can be read" in one_line_error(tmp_path / "list.mp3")
