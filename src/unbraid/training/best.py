"""Which weights of a run are the best, and when to train or wait for better no longer.

A validation ends inside Lightning's epoch, and `last.ckpt` is written there. Both look at the score
at that moment: at the end of the epoch they would be a validation behind in that file, and be asked
once more, without a score, by a run that goes on from it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from unbraid.training.config import MONITORS


class Best(ModelCheckpoint):
    """Keeps the weights of the best validation in `best.ckpt`.

    Args:
        monitor: what picks them, a key of `MONITORS`.
        folder: of the checkpoints.
        resume: checkpoint that the run goes on from.
    """

    def __init__(self, monitor: str, folder: Path, resume: Path | None) -> None:
        super().__init__(
            folder,
            "best",
            monitor=monitor,
            mode=MONITORS[monitor],
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )
        self._goes_on = resume is not None and resume.resolve().parent == folder.resolve()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Know the best so far, wherever the run's folder is now; another run has none yet."""
        path = Path(str(self.dirpath), "best.ckpt")
        if self._goes_on and path.is_file() and state_dict["best_model_path"]:
            here = {
                "dirpath": self.dirpath,
                "best_model_path": str(path),
                "kth_best_model_path": str(path),
                "best_k_models": {str(path): state_dict["best_model_score"]},
            }
            super().load_state_dict({**state_dict, **here})


class Patience(EarlyStopping):
    """Ends a run when so many validations brought nothing.

    Args:
        monitor: what they are compared by, a key of `MONITORS`.
        validations: how many.
    """

    def __init__(self, monitor: str, validations: int) -> None:
        super().__init__(
            monitor,
            mode=MONITORS[monitor],
            patience=validations,
            check_on_train_epoch_end=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on waiting, for as long as the configuration says now."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Leave a run as it is that had ended so."""
        if self.wait_count >= self.patience:
            waited = f"{self.wait_count} validation{'s' * (self.wait_count > 1)} brought nothing"
            leave(trainer, f"{waited}; a larger run.patience")


def leave(trainer: Any, why: str) -> None:
    """End a run that goes on before its first step, if it has weights to show.

    Args:
        trainer: of the run.
        why: it is finished, and what makes it longer.
    """
    if trainer.checkpoint_callback.best_model_path:
        trainer.should_stop = True
        if trainer.is_global_zero:
            print(f"the run is finished: {why} makes it longer", file=sys.stderr)
