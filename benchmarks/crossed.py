"""Which side of a song is hard: every voice with every accompaniment, at equal levels.

A row that is low throughout is a voice that the model does not take for one; a column that is low
throughout is music that it takes for a voice, or that covers voices.

    python benchmarks/crossed.py --songs ../shared/data/songs/valid
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from unbraid import Separator
from unbraid.data.tracks import find_tracks, load_track
from unbraid.evaluation import frame_sdr
from unbraid.models import DEFAULT


def loudest(voice: np.ndarray, music: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The stretch of so many samples in which the voice has most energy."""
    energy = np.concatenate([[0.0], np.cumsum((voice**2).sum(0), dtype=np.float64)])
    last = max(1, voice.shape[1] - samples)
    start = int(np.argmax(energy[samples:][:last] - energy[:-samples][:last]))
    return voice[:, start : start + samples], music[:, start : start + samples]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs with stems")
    parser.add_argument("--model", default=DEFAULT, help="name or file")
    parser.add_argument("--seconds", type=float, default=5.7, help="of each song")
    options = parser.parse_args()

    separator = Separator.from_pretrained(options.model)
    rate, (voice, music) = separator.sample_rate, separator.stems
    parts = {}
    for track in find_tracks(options.songs):
        stems = load_track(track, (voice,), music, rate)
        parts[track.name] = loudest(stems[voice], stems[music], int(options.seconds * rate))
    print(f"| voice, below; music, right | {' | '.join(parts)} |")
    print(f"| --- {'| --: ' * len(parts)}|")
    for name, (singing, _) in parts.items():
        cells = []
        for _, playing in parts.values():
            samples = min(singing.shape[1], playing.shape[1])
            sung, played = singing[:, :samples], playing[:, :samples]
            played = played * np.float32(np.sqrt((sung**2).sum() / (played**2).sum()))
            estimate = separator(sung + played, rate)[voice]
            cells.append(f"{np.nanmedian(frame_sdr(sung, estimate, rate)):.1f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
