"""Where in frequency the vocals are lost: their SDR and their gain in each octave.

A gain of 1 leaves the voice as loud as it is, 0 leaves it all to the accompaniment.

    python benchmarks/bands.py --songs ../shared/data/songs/valid
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.fft

from unbraid import Separator
from unbraid.data.tracks import find_tracks, load_track
from unbraid.models import DEFAULT

EDGES = (0, 150, 300, 600, 1200, 2500, 5000, 10000, 22050)  # Hz


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs with stems")
    parser.add_argument("--model", default=DEFAULT, help="name or file")
    options = parser.parse_args()

    separator = Separator.from_pretrained(options.model)
    rate, (voice, music) = separator.sample_rate, separator.stems
    bands = [f"{low}-{high} Hz" for low, high in pairwise(EDGES)]
    print(f"| SDR in dB / gain | {' | '.join(bands)} |")
    print(f"| --- {'| --: ' * len(bands)}|")
    for track in find_tracks(options.songs):
        stems = load_track(track, (voice,), music, rate)
        estimate = separator(sum(stems.values()), rate)[voice]
        true, ours = scipy.fft.rfft(stems[voice]), scipy.fft.rfft(estimate)
        frequency = scipy.fft.rfftfreq(estimate.shape[1], 1 / rate)
        cells = []
        for low, high in pairwise(EDGES):
            inside = (frequency >= low) & (frequency < high)
            sung, found = true[:, inside], ours[:, inside]
            energy = (np.abs(sung) ** 2).sum()
            sdr = 10 * np.log10(energy / (np.abs(sung - found) ** 2).sum())
            cells.append(f"{sdr:.1f} / {np.vdot(sung, found).real / energy:.2f}")
        print(f"| {track.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
