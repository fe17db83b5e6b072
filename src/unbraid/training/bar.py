"""The line that shows on the terminal how far the trial step, or the epoch, is."""

from __future__ import annotations

from lightning.pytorch.callbacks import RichProgressBar


class Bar(RichProgressBar):
    """Lightning's, without the number of the last epoch, which nobody knows."""

    def _get_train_description(self, current_epoch: int) -> str:
        trying = self.trainer.fast_dev_run  # type: ignore[attr-defined]
        doing = "Trial" if trying else f"Epoch {current_epoch}"
        return doing.ljust(len(self.validation_description))
