"""BSS Eval v4 beside museval: seconds a track, and the largest difference in dB.

    python benchmarks/evaluation.py [--seconds 180] [--device cpu] [--repeats 3]

Needs museval (`pip install unbraid[dev]`) for the comparison; without it only our times are shown.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=180, help="length of the track")
    parser.add_argument("--device", default="cpu", help="where ours computes")
    parser.add_argument("--repeats", type=int, default=3, help="runs of ours, for the median")
    options = parser.parse_args()
    references, estimates = material(options.seconds)

    ours = timed(lambda: bsseval_v4(references, estimates, RATE, options.device), options.repeats)
    sdr = timed(lambda: frame_sdr(references, estimates, RATE), options.repeats)
    rows = [
        ("bsseval_v4", ours[0], ours[1]),
        ("frame_sdr (SDR alone)", sdr[0], {"SDR": sdr[1]}),
    ]
    print(f"{options.seconds} s, stereo, 2 targets, {torch.get_num_threads()} threads")
    museval = load_museval()
    if museval is None:
        print("museval is not installed: no comparison")
        for name, seconds, _ in rows:
            print(f"{name:24}{seconds:10.3f} s")
        return
    turned = [np.moveaxis(audio, 1, 2).astype(float) for audio in (references, estimates)]
    theirs, scores = timed(lambda: museval.bss_eval(*turned, window=RATE, hop=RATE), 1)
    expected = dict(zip(("SDR", "ISR", "SIR", "SAR"), scores[:4], strict=True))
    print(f"{'':24}{'seconds':>10}{'faster':>10}{'max |difference|, dB':>24}")
    print(f"{'museval':24}{theirs:10.3f}{1:9}x")
    for name, seconds, scores in rows:
        worst = max(np.nanmax(np.abs(scores[metric] - expected[metric])) for metric in scores)
        print(f"{name:24}{seconds:10.3f}{theirs / seconds:9.0f}x{worst:24.1e}")


def material(seconds: int) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates `[2, 2, samples]`, float32 with the steps of 16 bits."""
    rng = np.random.default_rng(0)
    shape = (2, 2, seconds * RATE)
    references = 0.1 * rng.standard_normal(shape, dtype=np.float32)
    estimates = 0.8 * references + 0.1 * references[::-1]
    estimates[..., 5:] += 0.2 * references[..., :-5]
    estimates += 0.01 * rng.standard_normal(shape, dtype=np.float32)
    return np.round(references * 2**15) / 2**15, np.round(estimates * 2**15) / 2**15


def timed(call: Callable, repeats: int) -> tuple[float, object]:
    """Median of the wall-clock seconds, and the last result."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        taken.append(time.perf_counter() - start)
    return median(taken), result


def load_museval() -> ModuleType | None:
    """The metrics of museval by themselves: importing the package would need ffmpeg."""
    spec = util.find_spec("museval")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name("metrics.py")
    metrics = util.spec_from_file_location("museval_metrics", path)
    module = util.module_from_spec(metrics)
    metrics.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
