"""Separates the demo song by the command line and scores the stems against the true ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from unbraid import load_audio
from unbraid.evaluation import frame_sdr, ideal_ratio_mask, sdr, si_sdr

HERE = Path(__file__).parent
OUT = HERE.parent / "out"


def main() -> None:
    song = HERE / "lithium.flac"
    command = [sys.executable, "-m", "unbraid", "separate", str(song), "-o", str(OUT), "--plot"]
    subprocess.run(command, check=True)

    mixture, rate = load_audio(song)
    vocals, _ = load_audio(HERE / "lithium-vocals.flac")
    true = {"vocals": vocals, "accompaniment": mixture - vocals}
    estimates = {
        "mixture": dict.fromkeys(true, mixture),
        "unbraid": {stem: load_audio(OUT / "lithium" / f"{stem}.wav")[0] for stem in true},
        "ideal mask": ideal_ratio_mask(true, power=1, n_fft=4096, hop=2048),
    }
    table = Table("stem", "system", title="Scores against the true stems, in dB")
    for column in ("SDR, median second", "SDR, whole", "SI-SDR"):
        table.add_column(column, justify="right")
    for stem, reference in true.items():
        for system, stems in estimates.items():
            scores = (
                float(np.nanmedian(frame_sdr(reference, stems[stem], rate))),
                sdr(reference, stems[stem]),
                si_sdr(reference, stems[stem]),
            )
            table.add_row(stem, system, *(f"{score:.2f}" for score in scores))
    Console().print(table)
    print(
        "Higher is better: the mixture itself is the floor, the ideal mask the ceiling of such a\n"
        "method. The song is hard, as its voice is spoken and processed.\n"
        f"In {OUT / song.stem}: stems to listen to, plot.png to look at.\n"
        f"A song of your own: {Path(sys.executable).with_name('unbraid')} separate SONG"
    )


if __name__ == "__main__":
    main()
