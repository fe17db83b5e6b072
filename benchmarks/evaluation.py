"""BSS Eval v4 beside museval: times as fast, and the largest difference in dB.

    python benchmarks/evaluation.py [--seconds 180] [--rounds 3] [--device cpu]

Needs museval (`pip install '.[dev]'`). Each round times museval and ours one after the other,
so that both meet the same machine; shown are medians over the rounds, of the ratios too.
The material is 16-bit noise in stereo, two targets, with leakage, filtering and artifacts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import util
from pathlib import Path
from statistics import median
from types import ModuleType

import numpy as np
import torch

from unbraid.evaluation import bsseval_v4, frame_sdr

RATE = 44100
METRICS = ("SDR", "ISR", "SIR", "SAR")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=180, help="length of the track")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured")
    parser.add_argument("--device", default="cpu", help="where ours computes")
    options = parser.parse_args()
    references, estimates = material(options.seconds)
    turned = [np.moveaxis(audio, 1, 2).astype(float) for audio in (references, estimates)]
    museval = load_museval()
    calls: dict[str, Callable] = {
        "museval": lambda: museval.bss_eval(*turned, window=RATE, hop=RATE),
        "bsseval_v4": lambda: bsseval_v4(references, estimates, RATE, options.device),
        "frame_sdr (SDR alone)": lambda: {"SDR": frame_sdr(references, estimates, RATE)},
    }
    bsseval_v4(references[..., :RATE], estimates[..., :RATE], RATE, options.device)  # warms up
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds):
        results = {}
        for name, call in calls.items():
            start = time.perf_counter()
            results[name] = call()
            taken[name].append(time.perf_counter() - start)
    expected = dict(zip(METRICS, results.pop("museval")[:4], strict=True))
    print(
        f"{options.seconds} s, stereo, 2 targets, {torch.get_num_threads()} threads, "
        f"{options.rounds} rounds"
    )
    print(f"{'':24}{'seconds':>10}{'faster':>10}{'max |difference|, dB':>24}")
    print(f"{'museval':24}{median(taken['museval']):10.3f}{1:9}x")
    for name, scores in results.items():
        worst = max(np.nanmax(np.abs(scores[metric] - expected[metric])) for metric in scores)
        faster = median(a / b for a, b in zip(taken["museval"], taken[name], strict=True))
        print(f"{name:24}{median(taken[name]):10.3f}{faster:9.1f}x{worst:24.1e}")


def material(seconds: int) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates `[2, 2, samples]`, float32 with the steps of 16 bits."""
    rng = np.random.default_rng(0)
    shape = (2, 2, seconds * RATE)
    references = 0.1 * rng.standard_normal(shape, dtype=np.float32)
    estimates = 0.8 * references + 0.1 * references[::-1]
    estimates[..., 5:] += 0.2 * references[..., :-5]
    estimates += 0.01 * rng.standard_normal(shape, dtype=np.float32)
    return np.round(references * 2**15) / 2**15, np.round(estimates * 2**15) / 2**15


def load_museval() -> ModuleType:
    """The metrics of museval by themselves: importing the package would need ffmpeg."""
    spec = util.find_spec("museval")
    if spec is None or spec.origin is None:
        raise SystemExit("museval is missing: pip install '.[dev]'")
    path = Path(spec.origin).with_name("metrics.py")
    metrics = util.spec_from_file_location("museval_metrics", path)
    module = util.module_from_spec(metrics)
    metrics.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
