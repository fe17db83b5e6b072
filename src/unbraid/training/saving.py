"""Checkpoints that appear whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from unbraid.replacing import replacing


class WholeFiles(TorchCheckpointIO):
    """Lightning's files, but written beside the one that they replace.

    Lightning writes them where temporary files are, and copies them if that is another disk: who
    is killed meanwhile, or has a full disk, is left with half a file, and without the one before.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with replacing(Path(path)) as temporary:
            # no view of it: Python 3.12.0 and 3.12.1 crash on one that an error's traceback keeps
            temporary.write_bytes(content.getvalue())
