"""The mean of two weight files of one network, one of which was begun with the other.

    python recipes/average.py spleeter-vocals.safetensors runs/unet/unet.safetensors out.safetensors

What fine-tuning on a small collection gains there it loses in part elsewhere; the mean of the
weights before and after, or one that leans to a side, keeps the most of both (Wortsman et al.,
"Robust fine-tuning of zero-shot models", CVPR 2022, https://arxiv.org/abs/2109.01903). Network,
licence and data card are those of the second.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import torch

from unbraid.models import checkpoint, find


def main() -> None:
    """Average, and say so in the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", help="name or weight file")
    parser.add_argument("after", help="name or weight file")
    parser.add_argument("out", type=Path, help=".safetensors to write")
    parser.add_argument("--share", type=float, default=0.5, help="of the second")
    options = parser.parse_args()
    network = checkpoint.load(options.after)
    info = checkpoint.read_info(find(options.after))
    begun = re.search(r"; begun with \S+ \([^;]*; SHA-256 (\w+)\)", info.data)
    if not begun or begun[1] != checkpoint.read_info(find(options.before)).sha256:
        parser.error(f"{options.after} did not begin with {options.before}, says its data card")
    before, after = checkpoint.load(options.before).state_dict(), network.state_dict()
    share = options.share
    network.load_state_dict(  # counters too: they don't count
        {name: (1 - share) * before[name] + share * after[name] for name in after}
    )
    checkpoint.save(
        network,
        options.out,
        architecture=info.architecture,
        licence=info.licence,
        data=f"{info.data}; averaged with the weights that it began with, its share {share:g}",
        dtype=torch.float16,
    )


if __name__ == "__main__":
    main()
