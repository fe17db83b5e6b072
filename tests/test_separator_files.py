"""Songs into files: the same rate, length and depth, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from sounds import RATE, music
from unbraid import Separator
from unbraid.errors import ConfigError, UnbraidWarning
from unbraid.models import build


def test_cancel_leaves_no_file(separator: Separator, tmp_path: Path) -> None:
    def cancel(fraction: float) -> None:
        raise InterruptedError

    song = tmp_path / "song.wav"
    soundfile.write(song, music(3 * RATE).T, RATE)
    with pytest.raises(InterruptedError):
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


@pytest.mark.slow
def test_memory_does_not_grow_with_the_song(tmp_path: Path) -> None:
    """Peak memory of one and of four minutes, each in a process of its own."""

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
