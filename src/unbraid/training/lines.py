"""What is said in one process, until another fetches it; imports no torch, for it is an actor."""

from __future__ import annotations


class Lines:
    """What the first worker says, until the command fetches it."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, line: str) -> None:
        """Keep a line."""
        self._lines.append(line)

    def take(self) -> list[str]:
        """Give the lines away."""
        lines, self._lines = self._lines, []
        return lines
