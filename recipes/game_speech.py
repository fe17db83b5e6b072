"""Voices to train on: what the characters of free games say, one file a character.

    apt-get download hedgewars-data && dpkg-deb -x hedgewars-data_*.deb unpacked/hedgewars-data
    python recipes/game_speech.py unpacked speech

Spoken, shouted and disguised voices are rare among recordings of singing. Debian's packages of
games hold those of a hundred speakers: hedgewars-data, warmux-data, freedroidrpg-data,
fillets-ng-data-cs, nexuiz-data and more, under the licences of the games. A folder in which takes
of speech lie side by side becomes one file of them, at one loudness, a quarter second apart. Unzip
`public.zip` of 0ad-data and `data.pk3` of nexuiz-data first.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 44100
SHORTEST, LEAST = 0.4, 10.0  # seconds of a take, of a character
LOUDNESS = 0.1  # RMS of what is within 20 dB of the loudest
SPEECH = (  # packages, and where speech lies in them; any folder below is a character
    ("0ad-data", "audio/voice"),
    ("fillets-ng-data", "fillets-ng/sound"),
    ("fillets-ng-data-cs", "fillets-ng/sound"),
    ("freedroidrpg-data", "voice_samples"),
    ("hedgewars-data", "Sounds/voices"),
    ("nexuiz-data", "coms"),
    ("nexuiz-data", "sound/announcer"),
    ("redeclipse-data", "sounds/announcer"),
    ("redeclipse-data", "sounds/voice"),
    ("supertux-data", "speech"),
    ("unknown-horizons", "audio/voice"),
    ("warmux-data", "sound/default/voices"),
)


def characters(unpacked: Path) -> Iterator[tuple[str, list[Path]]]:
    """File to write and takes of each character of the packages that are there."""
    for package, part in SPEECH:
        folder = unpacked / package
        takes: dict[Path, list[Path]] = {}
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".ogg", ".wav") and part in path.as_posix():
                takes.setdefault(path.parent, []).append(path)
        for parent, files in takes.items():
            name = "-".join(parent.relative_to(folder).parts[-3:])
            yield f"{package}/{name}.flac", files


def take(path: Path) -> np.ndarray | None:
    """A take `[samples]` at one loudness; None if it is too short or holds nothing."""
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    mono = soxr.resample(audio.mean(1), rate, RATE)
    hop = RATE // 50
    power = (mono[: len(mono) // hop * hop] ** 2).reshape(-1, hop).mean(1)
    if len(mono) < SHORTEST * RATE or not power.max():
        return None
    mono *= LOUDNESS / np.sqrt(power[power > 0.01 * power.max()].mean())
    return mono / max(1.0, np.abs(mono).max())


def main() -> None:
    """Write a FLAC file for each character with enough to say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("unpacked", type=Path, help="folder with a folder for each package")
    parser.add_argument("folder", type=Path, help="where to write")
    options = parser.parse_args()
    total = 0.0
    for name, files in characters(options.unpacked):
        takes = [audio for audio in map(take, files) if audio is not None]
        gap = np.zeros(RATE // 4, np.float32)
        joined = np.concatenate([part for audio in takes for part in (audio, gap)] or [gap])
        seconds = len(joined) / RATE
        if seconds >= LEAST:
            path = options.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, joined, RATE)
            total += seconds
            print(f"{name}: {len(takes)} takes, {seconds:.0f} s", flush=True)
    print(f"{total / 60:.0f} minutes")


if __name__ == "__main__":
    main()
