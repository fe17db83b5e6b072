"""The line that shows on the terminal how far the epoch is."""

from __future__ import annotations

from lightning.pytorch.callbacks import RichProgressBar


class Bar(RichProgressBar):
    """Lightning's, without the number of the last epoch, which nobody knows."""

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {current_epoch}".ljust(len(self.validation_description))
