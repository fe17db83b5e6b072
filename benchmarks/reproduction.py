"""The report's comparison: four networks, the same data, the same time on the same machine.

    python benchmarks/reproduction.py train --minutes 22 --at-once 2 -o runs/reproduction
    python benchmarks/reproduction.py score --runs runs/reproduction \\
        --songs ../shared/data/songs/valid -o docs/reproduction

`train` trains each of the shipped configurations for so many minutes by the clock, so many of them
at once, each in one process of one thread. `score` writes per-track scores in museval's form
(`scores/SYSTEM/TRACK.json`), `curves.png` and `tables.md`: BSS Eval v4 and SI-SDR beside the
mixture and the ideal ratio mask; parameters, multiply-adds per second of song, and speed, timed in
turns.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from cost import counting
from unbraid import Separator
from unbraid.evaluation.run import evaluate, select_tracks
from unbraid.evaluation.systems import make_systems
from unbraid.evaluation.tables import Table, as_markdown, tables
from unbraid.models.checkpoint import read_info

NETWORKS = ("conv1d", "dprnn", "openunmix", "bandsplit")
SECONDS = 32  # of audio for each timing


def train(folder: Path, minutes: float, at_once: int, overrides: list[str]) -> None:
    """Train all networks; the output of each goes to FOLDER/NAME.log."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = [f"run.folder={folder}", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for start in range(0, len(NETWORKS), at_once):
        running = {}
        for name in NETWORKS[start : start + at_once]:
            command = [sys.executable, "-m", "unbraid", "train", name, *settings]
            with (folder / f"{name}.log").open("w") as log:
                running[name] = subprocess.Popen(
                    [*command, "--minutes", str(minutes)],
                    env=environment,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        for name, process in running.items():
            if process.wait():
                print(f"error: {name} failed, see {folder / name}.log", file=sys.stderr)


def score(runs: Path, songs: Path, out: Path, rounds: int) -> None:
    """Scores, curves and tables of what was trained."""
    from unbraid.training.curves import plot_curves

    out.mkdir(parents=True, exist_ok=True)
    weights = {name: runs / name / f"{name}.safetensors" for name in NETWORKS}
    systems = make_systems(["mixture", "irm1", *map(str, weights.values())])
    with tempfile.TemporaryDirectory() as scratch:  # its excerpts of the songs are not to be kept
        scores = evaluate(select_tracks(songs), systems, Path(scratch))
        for system in systems:
            target = out / "scores" / system.name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(Path(scratch) / system.name / "test", target)
    plot_curves([runs / name for name in NETWORKS], out / "curves.png")
    made = [*tables(scores), costs(weights, rounds)]
    text = "\n".join(map(as_markdown, made))
    (out / "tables.md").write_text(text, encoding="utf-8")
    print(text)


def costs(weights: dict[str, Path], rounds: int) -> Table:
    """Parameters, multiply-adds and speed of each network."""
    audio = np.random.default_rng(0).normal(0, 0.1, (2, SECONDS * 44100)).astype(np.float32)
    separators = {
        name: Separator.from_pretrained(path, device="cpu") for name, path in weights.items()
    }
    work, times = {}, {name: [] for name in weights}
    for name, separator in separators.items():
        with counting(separator.model) as cost:
            separator(audio, 44100)
        work[name] = cost.multiply_adds / SECONDS / 1e9
    for _ in range(rounds):
        for name, separator in separators.items():
            start = time.perf_counter()
            separator(audio, 44100)
            times[name].append(time.perf_counter() - start)
    return Table(
        title="Cost",
        columns=("network", "parameters, M", "GMAC per second of song", "times real time"),
        rows=tuple(
            (
                name,
                f"{read_info(path).parameters / 1e6:.2f}",
                f"{work[name]:.3f}",
                f"{SECONDS / median(times[name]):.1f}",
            )
            for name, path in weights.items()
        ),
        note=f"`Separator` with its defaults on {torch.get_num_threads()} threads, medians of "
        f"{rounds} rounds of {SECONDS} s in turns; multiply-adds of matrices and convolutions.",
        labels=1,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    trainer = parts.add_parser("train", help="train the networks")
    trainer.add_argument("--minutes", type=float, default=22.0, help="for each network")
    trainer.add_argument("--at-once", type=int, default=1, help="networks trained side by side")
    trainer.add_argument("-o", "--output", type=Path, default=Path("runs/reproduction"))
    trainer.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for all networks")
    scorer = parts.add_parser("score", help="score and draw them")
    scorer.add_argument("--runs", type=Path, default=Path("runs/reproduction"))
    scorer.add_argument("--songs", type=Path, required=True, help="folder of songs with stems")
    scorer.add_argument("--rounds", type=int, default=5, help="of timing")
    scorer.add_argument("-o", "--output", type=Path, default=Path("docs/reproduction"))
    options = parser.parse_args()
    if options.part == "train":
        train(options.output, options.minutes, options.at_once, options.overrides)
    else:
        score(options.runs, options.songs, options.output, options.rounds)


if __name__ == "__main__":
    main()
