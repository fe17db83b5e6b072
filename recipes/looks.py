"""A U-Net's weights with further looks at the song: the same weights hear it at other windows.

    python recipes/looks.py gated.safetensors unet.safetensors 4608/1280

At a longer window the network hears the song higher and faster, and errs elsewhere: the mean of
what it finds is nearer to the truth than what it finds at any one (docs/quality.md). Each look
costs about as much time as the first.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

from unbraid.models import build, checkpoint, find


def main() -> None:
    """Write the same weights for a network that looks more often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name or weight file")
    parser.add_argument("out", type=Path, help=".safetensors to write")
    parser.add_argument("looks", nargs="+", type=look, metavar="WINDOW/HOP", help="in samples")
    options = parser.parse_args()
    info = checkpoint.read_info(find(options.model))
    before = checkpoint.load(info.path)
    if info.architecture != "spleeter":
        parser.error(f"{options.model}: give a spleeter, no other network can look again")
    network = build(info.architecture, **{**asdict(before.config), "looks": options.looks})
    network.load_state_dict(before.state_dict())
    checkpoint.save(
        network,
        options.out,
        architecture=info.architecture,
        licence=info.licence,
        data=info.data,
        dtype=torch.float16,
    )


def look(word: str) -> tuple[int, int]:
    """Window and hop of a word."""
    n_fft, hop = map(int, word.split("/"))
    return n_fft, hop


if __name__ == "__main__":
    main()
