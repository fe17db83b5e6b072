"""How well models separate the mixtures that a network is trained on.

A network that separates real songs worse than the mixtures it learned from was taught something
that is not so on records; one that is poor at both has not learned for long enough.

    python benchmarks/mixtures.py --config unet --model unet --model spleeter
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from unbraid import Separator
from unbraid.data.mixing import Mixtures, held_out
from unbraid.evaluation import sdr
from unbraid.notices import silence_expected
from unbraid.training.config import read_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=Path("bandsplit"), help="of the training")
    parser.add_argument("--model", action="append", required=True, help="name or file")
    parser.add_argument("--mixtures", type=int, default=60, help="how many are drawn")
    parser.add_argument("setting", nargs="*", help="laid over the configuration: key=value")
    options = parser.parse_args()

    separators = {name: Separator.from_pretrained(name) for name in options.model}
    one = next(iter(separators.values()))
    voice, music = one.stems
    data = read_config(options.config, options.setting).data
    mixtures = Mixtures(data, (voice,), music, one.sample_rate, [1], held_out(data))
    rng = np.random.default_rng(1)
    scores: dict[str, list[float]] = {name: [] for name in ("mixture", *separators)}
    while len(scores["mixture"]) < options.mixtures:
        drawn = mixtures.draw(rng)
        mixture, truth = drawn["mixture"].numpy(), drawn["targets"][0].numpy()
        if truth.any():
            scores["mixture"].append(sdr(truth, mixture))
            for name, separator in separators.items():
                with silence_expected():
                    stems = separator(mixture, one.sample_rate)
                scores[name].append(sdr(truth, stems[voice]))
    print(f"| {voice} of {options.mixtures} mixtures | median SDR in dB |\n| --- | --: |")
    for name, values in scores.items():
        print(f"| {name} | {np.median(values):.1f} |")


if __name__ == "__main__":
    main()
