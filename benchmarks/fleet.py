"""Songs per hour on Ray with one worker and with more, beside the local engine.

    python benchmarks/fleet.py [--songs 8] [--rounds 3] [--workers 1 2] [-o FILE.json]

Needs ray (`pip install '.[ray]'`). Copies of the demo song are separated with every number
of workers, each with one core: by `--engine local --jobs N`, and by Ray with N cores on this
machine, started before the clock. Rounds run in turns: A B C D A B C D. Shown are medians over the
rounds; the ratios are medians of the rounds' ratios. Starting the workers counts, starting Ray does
not: a catalogue starts it once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import ray
import torch

from common import DEMO
from unbraid import Separator
from unbraid.audio import probe
from unbraid.batch import separate_songs
from unbraid.fleet.catalogue import separate_catalogue
from unbraid.fleet.cluster import ENVIRONMENT
from unbraid.models import DEFAULT, find
from unbraid.planning import Options, plan
from unbraid.songs import find_songs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--song", type=Path, default=DEMO)
    parser.add_argument("--songs", type=int, default=8, help="copies of it")
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are taken")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("-o", "--out", type=Path, help="JSON file for the figures")
    asked = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    seconds = asked.songs * probe(asked.song).duration
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "in")
        root.mkdir()
        for number in range(asked.songs):
            shutil.copy(asked.song, root / f"{number}{asked.song.suffix}")
        for _ in range(asked.rounds):
            for workers in asked.workers:
                for name, engine in (("local", by_local), ("ray", by_ray)):
                    out = Path(folder, "out")
                    elapsed = engine(root, out, asked.model, workers)
                    taken.setdefault(f"{name}, {workers}", []).append(elapsed)
                    shutil.rmtree(out)
    print(
        f"{asked.songs} songs, {seconds:.0f} s in all, {os.cpu_count()} cores, "
        f"{asked.rounds} rounds"
    )
    print(f"{'engine, workers':20}{'seconds':>10}{'songs/hour':>12}{'x real time':>13}{'ratio':>8}")
    first = f"ray, {asked.workers[0]}"
    figures = {}
    for name, times in taken.items():
        middle = median(times)
        ratio = median(a / b for a, b in zip(taken[first], times, strict=True))
        figures[name] = {"seconds": times, "median": middle, "ratio": ratio}
        pace = f"{asked.songs / middle * 3600:12.0f}{seconds / middle:13.1f}{ratio:8.2f}"
        print(f"{name:20}{middle:10.1f}{pace}")
    print(f"ratio: times as fast as '{first}'")
    if asked.out:
        about = {"songs": asked.songs, "audio_seconds": seconds, "machine": platform.platform()}
        asked.out.write_text(json.dumps({**about, "engines": figures}, indent=2) + "\n")


def by_local(root: Path, out: Path, model: str, jobs: int) -> float:
    """Seconds that the local engine takes with one core a job."""
    start = time.perf_counter()
    torch.set_num_threads(jobs)  # separate_songs gives each job its part of them
    options = options_for(out)
    tasks, _ = plan(find_songs([root], out), options)
    make = partial(Separator.from_pretrained, model, device="cpu")
    results = separate_songs(tasks, options, make, jobs)
    assert all(result.status == "done" for result in results)
    return time.perf_counter() - start


def by_ray(root: Path, out: Path, model: str, jobs: int) -> float:
    """Seconds that Ray takes with one core a worker."""
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    ray.init("local", num_cpus=jobs, **quiet)
    try:
        start = time.perf_counter()
        separate_on_ray(root, out, model, jobs)
        return time.perf_counter() - start
    finally:
        ray.shutdown()


def separate_on_ray(root: Path, out: Path, model: str, jobs: int) -> None:
    make = partial(Separator.from_pretrained, device="cpu")
    tally = separate_catalogue([root], options_for(out), find(model), make, device="cpu", jobs=jobs)
    assert tally.total() == tally["done"]


def options_for(out: Path) -> Options:
    return Options(out, ("vocals", "accompaniment"))


if __name__ == "__main__":
    main()
