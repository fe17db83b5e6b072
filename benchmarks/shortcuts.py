"""What a network may tell voices from music by, but must not: taken away, song by song.

Training voices and training music differ in more than in what they are: bandwidth, coding, noise
floor, width, reverb. Each treatment takes such a difference from a song, or turns it round; a
change of the vocals' SDR by more than half a decibel means that the network leans on it.

    python benchmarks/shortcuts.py --songs ../shared/data/songs/valid
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pedalboard

from unbraid import Separator
from unbraid.data.conditions import CONDITIONS
from unbraid.data.tracks import find_tracks, load_track
from unbraid.evaluation import frame_sdr
from unbraid.models import DEFAULT

Audio = np.ndarray  # [2, samples]
Treatment = Callable[[Audio, Audio, int], tuple[Audio, Audio]]  # voice, music, sample rate


def hiss(audio: Audio, decibels: float) -> Audio:
    """White noise at an RMS level in dBFS, another in each channel, added to audio."""
    noise = np.random.default_rng(0).standard_normal(audio.shape, np.float32)
    return audio + np.float32(10 ** (decibels / 20)) * noise


def room(audio: Audio, rate: int) -> Audio:
    """Audio in a small hall, as loud as it was."""
    reverb = pedalboard.Reverb(room_size=0.5, wet_level=0.2, dry_level=0.7, width=1)
    wet = reverb(audio, rate)
    return wet * np.float32(audio.std() / (wet.std() + 1e-9))


def gated(audio: Audio, rate: int) -> Audio:
    """Zeros, exactly, where audio is 50 dB below its peak for a twentieth second."""
    hop = rate // 20
    frames = np.abs(audio[:, : audio.shape[1] // hop * hop]).reshape(2, -1, hop).max((0, 2))
    open_ = np.repeat(frames > frames.max() * 10 ** (-50 / 20), hop)
    return audio * np.pad(open_, (0, audio.shape[1] - len(open_)))


def on_voice(condition: str) -> Treatment:
    return lambda voice, music, rate: (CONDITIONS[condition](voice, rate), music)


def on_music(condition: str) -> Treatment:
    return lambda voice, music, rate: (voice, CONDITIONS[condition](music, rate))


TREATMENTS: dict[str, Treatment] = {
    "voice to 16 kHz": on_voice("16 kHz"),
    "music to 16 kHz": on_music("16 kHz"),
    "voice as MP3": on_voice("MP3 128"),
    "music as MP3": on_music("MP3 128"),
    "voice centred": on_voice("mono"),
    "music centred": on_music("mono"),
    "hiss on the voice": lambda voice, music, rate: (hiss(voice, -60), music),
    "hiss on the music": lambda voice, music, rate: (voice, hiss(music, -60)),
    "voice gated": lambda voice, music, rate: (gated(voice, rate), music),
    "room for the voice": lambda voice, music, rate: (room(voice, rate), music),
    "room for the music": lambda voice, music, rate: (voice, room(music, rate)),
    "room for both": lambda voice, music, rate: (room(voice, rate), room(music, rate)),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs with stems")
    parser.add_argument("--model", default=DEFAULT, help="name or file")
    options = parser.parse_args()

    separator = Separator.from_pretrained(options.model)
    rate, (target, residual) = separator.sample_rate, separator.stems
    songs = {
        track.name: load_track(track, (target,), residual, rate)
        for track in find_tracks(options.songs)
    }

    def score(voice: Audio, music: Audio) -> float:
        found = separator(voice + music, rate)[target]
        return float(np.nanmedian(frame_sdr(voice, found, rate)))

    plain = {name: score(stems[target], stems[residual]) for name, stems in songs.items()}
    print(f"| | {' | '.join(songs)} | median change |")
    print(f"| --- {'| --: ' * (len(songs) + 1)}|")
    print(f"| as it is | {' | '.join(f'{value:.2f}' for value in plain.values())} | |")
    for treatment, treat in TREATMENTS.items():
        changes = [
            score(*treat(stems[target], stems[residual], rate)) - plain[name]
            for name, stems in songs.items()
        ]
        cells = [f"{change:+.2f}" for change in [*changes, float(np.median(changes))]]
        print(f"| {treatment} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
