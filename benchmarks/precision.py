"""What computing in bfloat16 or int8 instead of float32 gains in speed, and costs in SDR.

    python benchmarks/precision.py --songs ../shared/data/songs/valid [--rounds 5] [-o FILE.json]

Separates every song in every precision, in turns, and prints a Markdown table: speed as a multiple
of float32's (the median of the rounds' ratios), and by how many dB the SDR of the vocals moves from
float32's, over the songs. int8 is torch's dynamic quantisation of the LSTM and linear layers, with
the engine that torch chooses for the machine.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from unbraid import Separator
from unbraid.data.tracks import find_tracks, load_track
from unbraid.evaluation import frame_sdr
from unbraid.models import DEFAULT, checkpoint, find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs with stems")
    parser.add_argument("--model", default=DEFAULT, help="name or weight file")
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are taken")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("-o", "--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    separators = {name: make(options.model) for name, make in PRECISIONS.items()}
    first = separators["float32"]
    rate, (*targets, residual) = first.sample_rate, first.stems
    tracks = find_tracks(options.songs)
    stems = {track.name: load_track(track, targets, residual, rate) for track in tracks}
    mixtures = {name: sum(parts.values()) for name, parts in stems.items()}
    scores = {
        name: {
            song: score(stems[song][targets[0]], separator(mixture, rate)[targets[0]], rate)
            for song, mixture in mixtures.items()
        }
        for name, separator in separators.items()
    }
    times: dict[str, list[float]] = {name: [] for name in separators}
    for _ in range(options.rounds):
        for name, separator in separators.items():
            start = time.perf_counter()
            for mixture in mixtures.values():
                separator(mixture, rate)
            times[name].append(time.perf_counter() - start)

    capability = torch.backends.cpu.get_cpu_capability()
    auto = Separator.from_pretrained(options.model, device="cpu").precision
    print(
        f"{capability}, {options.threads} threads, torch {torch.__version__}, "
        f"{torch.backends.quantized.engine}, {len(tracks)} songs, medians of {options.rounds} "
        f"rounds; auto is {auto}\n\n| precision | speed | SDR, median change | largest change |\n"
        "| --- | --: | --: | --: |"
    )
    rows = {}
    for name in separators:
        faster = median(a / b for a, b in zip(times["float32"], times[name], strict=True))
        changes = [scores[name][song] - scores["float32"][song] for song in mixtures]
        largest = max(changes, key=abs)
        rows[name] = {"speed": faster, "changes": dict(zip(mixtures, changes, strict=True))}
        print(f"| {name} | {faster:.2f} | {median(changes):+.4f} dB | {largest:+.4f} dB |")
    if options.output:
        report = {"cpu": capability, "auto": auto, "times": times, "precisions": rows}
        options.output.write_text(json.dumps(report, indent=2) + "\n")


def score(true: np.ndarray, estimate: np.ndarray, rate: int) -> float:
    """SDR in dB, the median of 1-s frames."""
    return float(np.nanmedian(frame_sdr(true, estimate, rate)))


def in_precision(name: str) -> Callable[[str], Separator]:
    return lambda model: Separator.from_pretrained(model, device="cpu", precision=name)


def quantized(model: str) -> Separator:
    network = checkpoint.load(find(model)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao is to move to a package of its own
        small = torch.ao.quantization.quantize_dynamic(network, {nn.LSTM, nn.Linear}, torch.qint8)
    return Separator(small, device="cpu", precision="float32")


PRECISIONS = {
    "float32": in_precision("float32"),
    "bfloat16": in_precision("bfloat16"),
    "int8, dynamic": quantized,
}


if __name__ == "__main__":
    main()
