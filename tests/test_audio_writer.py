"""Writing: exact, never clipped, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from unbraid.audio import (
    AudioReader,
    AudioWriter,
    encoders,
    load_audio,
    probe,
    quantize,
    save_audio,
)
from unbraid.errors import AudioError

RATE = 44100


def noise(samples: int, channels: int = 2, gain: float = 0.2) -> np.ndarray:
    random = np.random.default_rng(1)
    return random.uniform(-gain, gain, (channels, samples)).astype(np.float32)


def write(path: Path, audio: np.ndarray, bit_depth: str, size: int = 1000) -> AudioWriter:
    with AudioWriter(path, RATE, len(audio), bit_depth) as writer:
        for start in range(0, audio.shape[1], size):
            writer.write(audio[:, start : start + size])
    return writer


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_integers_survive_the_round_trip(tmp_path, suffix, bits):
    limit = 2 ** (bits - 1)
    random = np.random.default_rng(0).integers(-limit, limit, (70000, 2), dtype=np.int32)
    random[:4, 0] = [-limit, limit - 1, 0, -1]
    subtype = f"PCM_{bits}"
    soundfile.write(tmp_path / f"in{suffix}", random << (32 - bits), RATE, subtype)
    audio, _ = load_audio(tmp_path / f"in{suffix}")
    writer = write(tmp_path / f"out{suffix}", audio, str(bits))
    assert not writer.became_float
    back, _ = soundfile.read(tmp_path / f"out{suffix}", dtype="int32")
    assert np.array_equal(back >> (32 - bits), random)
    assert soundfile.info(tmp_path / f"out{suffix}").subtype == subtype
    assert np.array_equal(quantize(audio, str(bits)), audio)


@pytest.mark.parametrize("bit_depth", ["16", "24", "32f"])
def test_quantised_values_are_written_as_they_are(tmp_path, bit_depth):
    audio = noise(20000, gain=0.9)
    grid = quantize(audio, bit_depth)
    for value in (audio, grid):  # the writer rounds as quantize does
        write(tmp_path / "a.wav", value, bit_depth)
        assert np.array_equal(load_audio(tmp_path / "a.wav")[0], grid)
    assert np.abs(grid - audio).max() <= {"16": 2**-16, "24": 2**-24, "32f": 0}[bit_depth]
    with pytest.raises(AudioError, match="8"):
        quantize(audio, "8")


def test_quantised_stems_null_exactly(tmp_path):
    mixture, vocals = quantize(noise(20000), "16"), quantize(noise(20000, gain=0.1)[::-1], "16")
    write(tmp_path / "v.wav", vocals, "16")
    write(tmp_path / "a.wav", mixture - vocals, "16")
    total = load_audio(tmp_path / "v.wav")[0] + load_audio(tmp_path / "a.wav")[0]
    assert np.array_equal(total, mixture)


@settings(max_examples=30)
@given(
    samples=st.integers(0, 3000),
    size=st.integers(1, 4000),
    channels=st.integers(1, 3),
    bit_depth=st.sampled_from(["16", "24", "32f"]),
)
def test_every_length(tmp_path_factory, samples, size, channels, bit_depth):
    folder = tmp_path_factory.mktemp("length")
    audio = noise(samples, channels)
    write(folder / "a.wav", audio, bit_depth, size)
    back, rate = soundfile.read(folder / "a.wav", dtype="float32", always_2d=True)
    assert rate == RATE
    assert np.array_equal(back.T, quantize(audio, bit_depth))
    assert (folder / "a.wav").stat().st_size % 2 == 0


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
@pytest.mark.parametrize("samples", [1, 577, 50000])
def test_lossy_formats_keep_length_and_sound(tmp_path, suffix, samples):
    sine = 0.5 * np.sin(np.arange(samples) * 0.05, dtype=np.float32)
    writer = write(tmp_path / f"a{suffix}", np.stack([sine, -sine]), "16")
    back, rate = load_audio(tmp_path / f"a{suffix}")
    assert (back.shape, rate) == ((2, samples), RATE)
    assert writer.peak == pytest.approx(np.abs(sine).max())
    if samples > 10000:
        assert np.abs(back[0] - sine).max() < 0.02


def test_lossy_formats_are_of_high_quality(tmp_path):
    for name in ("a.mp3", "a.ogg"):
        write(tmp_path / name, noise(4 * RATE), "16")
        assert 230_000 < (tmp_path / name).stat().st_size * 8 / 4 < 345_000


def test_opus(tmp_path):
    save_audio(tmp_path / "a.opus", noise(5000), 48000)
    back, rate = load_audio(tmp_path / "a.opus")
    assert (back.shape, rate) == ((2, 5000), 48000)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("bit_depth", ["16", "24"])
@pytest.mark.parametrize("at", [0, 150_000])
def test_nothing_is_clipped(tmp_path, suffix, bit_depth, at):
    audio = noise(200_000, 1)
    audio[0, at] = -1.5
    writer = write(tmp_path / f"a{suffix}", audio, bit_depth, 10_000)
    assert writer.became_float
    assert writer.bit_depth == "32f"
    assert writer.path == tmp_path / "a.wav"
    assert writer.peak == 1.5
    assert names(tmp_path) == ["a.wav"]
    back, _ = load_audio(tmp_path / "a.wav")
    assert np.abs(back - audio).max() <= 2 ** -int(bit_depth)
    assert back[0, at] == -1.5


def test_full_scale_is_the_integers_range(tmp_path):
    top = np.float32(1 - 2**-15)
    for value, clips in [(-1, False), (top, False), (top + 2**-17, False), (1, True)]:
        audio = np.full((1, 9), value, np.float32)
        assert write(tmp_path / "a.wav", audio, "16").became_float is clips


def test_lossy_formats_only_record_the_peak(tmp_path):
    writer = write(tmp_path / "a.mp3", noise(5000, gain=2.0), "16")
    assert not writer.became_float
    assert 1.9 < writer.peak <= 2


def test_wav_over_the_limit_is_rf64(tmp_path, monkeypatch):
    audio = noise(5000)
    monkeypatch.setattr(encoders, "RIFF_LIMIT", 40_000)
    write(tmp_path / "a.wav", audio, "32f")
    write(tmp_path / "small.wav", audio, "16")
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"
    assert soundfile.info(tmp_path / "small.wav").format == "WAV"
    assert np.array_equal(load_audio(tmp_path / "a.wav")[0], audio)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_same_audio_same_bytes(tmp_path, name):
    digests = []
    for _ in range(2):
        save_audio(tmp_path / name, noise(30000), RATE)
        digests.append(hashlib.sha256((tmp_path / name).read_bytes()).digest())
        time.sleep(0 if digests[1:] else 1.1)  # a clock with whole seconds shows
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "name", ["04 絆ふぉーえばー.wav", "Песня.flac", "ß.ogg", "é.mp3", "長" * 80 + ".wav"]
)
def test_names_and_missing_folders(tmp_path, name):
    path = tmp_path / "new" / "папка" / name
    assert save_audio(str(path), noise(2000), RATE) == path
    assert names(path.parent) == [name]
    assert load_audio(path)[0].shape == (2, 2000)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_a_rate_that_is_a_whole_float_is_one_like_any_other(tmp_path, suffix):
    path = save_audio(tmp_path / f"a{suffix}", noise(2000), RATE / 2)
    assert probe(path).sample_rate == 22050


@pytest.mark.parametrize(
    ("name", "rate", "channels", "bit_depth", "message"),
    [
        ("a.mp3", RATE, 6, "16", "2 channels, not 6"),
        ("a.mp3", 96000, 2, "16", r"96000 Hz .*48000\); use .wav"),
        ("a.opus", RATE, 2, "16", "44100 Hz"),
        ("a.ogg", 384000, 2, "16", "384000 Hz"),
        ("a.ogg", RATE, 300, "16", "300"),
        ("a.flac", RATE, 9, "16", "8 channels, not 9"),
        ("a.flac", 700000, 2, "16", "700000 Hz"),
        ("a.flac", RATE, 2, "32f", "16 or 24"),
        ("a.wav", RATE, 2, "8", "16 or 24 or 32f"),
        ("a.wav", 0, 2, "16", r"0 Hz .*1048575\)$"),
        ("a.wav", RATE, 0, "16", "not 0"),
        ("a.wav", RATE, 44100, "16", "is the array"),
        ("a.xyz", RATE, 2, "16", "use one of .wav, .flac"),
        ("a", RATE, 2, "16", "use one of .wav, .flac"),
        ("x" * 300 + ".wav", RATE, 2, "16", "too long"),
        ("folder.wav", RATE, 2, "16", "folder"),
        ("file.txt/a.wav", RATE, 2, "16", "cannot be written"),
    ],
)
def test_refused_before_any_work(tmp_path, name, rate, channels, bit_depth, message):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file.txt").touch()
    with pytest.raises(AudioError, match=message) as caught:
        AudioWriter(tmp_path / name, rate, channels, bit_depth)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file.txt", "folder.wav"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(0o500)
    with pytest.raises(AudioError, match="Permission"):
        AudioWriter(tmp_path / "locked" / "a.wav", RATE, 2)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path, name, stop):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(stop), AudioWriter(tmp_path / name, RATE, 2) as writer:
        writer.write(noise(5000))
        assert len(names(tmp_path)) == 2
        assert names(tmp_path)[0].startswith(".unbraid-")
        raise stop
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == b"old"


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize("room", [20_000, 60_000])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, name, room, failure):
    """A disk with `room` bytes, or a user who stops the program inside a write."""

    class Disk(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > room:
                raise failure
            return super().write(data)

    def small_disk(path, mode):
        return io.BufferedRandom(Disk(path, mode.replace("b", "")), 1 << 16)

    monkeypatch.setattr(Path, "open", small_disk)
    expected = AudioError if isinstance(failure, OSError) else KeyboardInterrupt
    path = tmp_path / "new" / "track" / name
    with pytest.raises(expected) as caught, AudioWriter(path, RATE, 2, "24") as writer:
        for _ in range(20):
            writer.write(noise(5000))
    if expected is AudioError:
        assert "the disk is full" in str(caught.value)
    assert names(tmp_path) == []


def test_a_long_block_does_not_overflow_the_stack(tmp_path):
    """libsndfile's Vorbis holds it there."""
    block = np.zeros((2, 5_000_000), np.float32)
    with AudioWriter(tmp_path / "a.ogg", RATE, 2) as writer:
        writer.write(block)
    assert probe(tmp_path / "a.ogg").samples == block.shape[1]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="a system without timers")
@pytest.mark.parametrize("name", ["a.mp3", "a.flac"])
def test_no_interruption_is_lost(tmp_path, name):
    """Whatever code it comes in, Python's that the encoder calls included."""
    block = noise(5000)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for number in range(40):
            with pytest.raises(KeyboardInterrupt), AudioWriter(tmp_path / name, RATE, 2) as writer:
                signal.setitimer(signal.ITIMER_REAL, 0.005 + number / 10_007)
                end = time.monotonic() + 5
                while time.monotonic() < end:
                    writer.write(block)
            assert names(tmp_path) == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(os.name == "nt", reason="open files are not removed")
def test_a_folder_that_was_removed_meanwhile_is_named_as_the_reason(tmp_path):
    with (
        pytest.raises(AudioError, match="No such file or directory"),
        AudioWriter(tmp_path / "out" / "a.wav", RATE, 2) as writer,
    ):
        writer.write(noise(5000))
        shutil.rmtree(tmp_path / "out")


def test_a_full_disk_while_becoming_float(tmp_path, monkeypatch):
    with (
        pytest.raises(AudioError, match="full"),
        AudioWriter(tmp_path / "a.flac", RATE, 2) as writer,
    ):
        writer.write(noise(5000))
        disk_full = OSError(errno.ENOSPC, "No space left")
        monkeypatch.setattr(
            encoders.WavEncoder, "write", lambda *_: (_ for _ in ()).throw(disk_full)
        )
        writer.write(noise(5000, gain=2.0))
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_begun_leaves_no_folder(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise OSError(errno.ENOSPC, "No space left")

    monkeypatch.setattr(Path, "open", refuse)
    (tmp_path / "kept").mkdir()
    for folder in ("new", "kept"):
        with pytest.raises(AudioError, match="full"):
            AudioWriter(tmp_path / folder / "a.wav", RATE, 2)
    assert names(tmp_path) == ["kept"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_really_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Path, "open", lambda path, mode: io.BufferedRandom(io.FileIO("/dev/full", "r+"))
    )
    with pytest.raises(AudioError, match="the disk is full"):
        write(tmp_path / "a.wav", noise(50000), "16")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["a.flac", "a.mp3"])
def test_no_samples_in_formats_that_cannot(tmp_path, name):
    with pytest.raises(AudioError, match="0 samples"), AudioWriter(tmp_path / name, RATE, 2):
        pass
    assert names(tmp_path) == []


def test_bad_blocks(tmp_path):
    audio = noise(5000)
    audio[1, 4410] = np.nan
    with pytest.raises(AudioError, match=r"at 0\.100 s"):
        save_audio(tmp_path / "a.wav", audio, RATE)
    with pytest.raises(AudioError, match=r"not \[3, 10\]"):
        write_two(tmp_path / "a.wav")
    assert names(tmp_path) == []


def write_two(path: Path) -> None:
    with AudioWriter(path, RATE, 2) as writer:
        writer.write(noise(10, 3))


def test_save_audio_takes_arrays_of_every_kind(tmp_path):
    torch = pytest.importorskip("torch")
    audio = noise(3000)
    tensor = torch.from_numpy(audio).requires_grad_()
    negated = (
        torch.complex(torch.zeros(2, 3000), -tensor).conj().imag
    )  # a view that is to be negated
    halves = torch.from_numpy(quantize(audio, "16")).bfloat16()
    save_audio(tmp_path / "a.wav", halves, RATE)
    assert np.array_equal(load_audio(tmp_path / "a.wav")[0], halves.float().numpy())
    for kind in (audio, tensor, negated, audio.astype(np.float64), np.asfortranarray(audio)):
        save_audio(tmp_path / "a.wav", kind, RATE)
        assert np.array_equal(load_audio(tmp_path / "a.wav")[0], audio)
    save_audio(tmp_path / "mono.wav", audio[0], RATE)
    assert np.array_equal(load_audio(tmp_path / "mono.wav")[0], audio[:1])
    save_audio(tmp_path / "a.flac", audio, RATE)
    with AudioReader(tmp_path / "a.flac") as reader:
        assert reader.info.bit_depth == "24"
    for wrong in (audio[None], (audio * 32767).astype(np.int16)):
        with pytest.raises(AudioError, match="floating point"):
            save_audio(tmp_path / "b.wav", wrong, RATE)
    with pytest.raises(AudioError, match="is the array"):
        save_audio(tmp_path / "b.wav", audio.T, RATE)
    assert not (tmp_path / "b.wav").exists()
