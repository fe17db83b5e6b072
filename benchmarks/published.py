"""Packs published museval files into what `unbraid evaluate --published` reads.

    python benchmarks/published.py ../shared/data/published-scores

The folder holds one folder of frame-level scores per system, and their LICENSE.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from unbraid.evaluation import read_folder
from unbraid.evaluation.published import FOLDER


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path, help="folder of the systems")
    source = parser.parse_args().scores
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        tracks = {}
        for scores in read_folder(folder):
            tracks[scores.name] = {
                target: {
                    metric: None if math.isnan(value) else round(value, 5)
                    for metric, value in metrics.items()
                }
                for target, metrics in scores.summary().items()
            }
        lines = (f"{json.dumps(name)}: {json.dumps(track)}" for name, track in tracks.items())
        path = FOLDER / f"{folder.name.lower()}.json"
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    (FOLDER / "LICENSE").write_bytes((source / "LICENSE").read_bytes())


if __name__ == "__main__":
    main()
