"""Training: losses, the task, and the run."""
