"""A listener's run through a test: everything in an order of its own, under names of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from unbraid.errors import UnbraidError
from unbraid.listening.ratings import REFERENCE, SCALES, Rating, append_ratings, file_name
from unbraid.listening.sounds import Trial

Thing = TypeVar("Thing")
_RANDOM = secrets.SystemRandom()


class RatedError(UnbraidError):
    """A page that is rated already."""


@dataclass(frozen=True)
class Page:
    """A trial as one listener meets it.

    Attributes:
        trial: what is heard.
        reference: id of the open reference.
        sounds: id -> name in the trial, in the order on the page.
    """

    trial: Trial
    reference: str
    sounds: Mapping[str, str]

    def name_of(self, sound: str) -> str | None:
        """Name in the trial of the sound with an id; None if it is not on this page."""
        return REFERENCE if sound == self.reference else self.sounds.get(sound)


@dataclass
class Session:
    """One run.

    Attributes:
        listener: name that the listener gave.
        pages: in order.
        folder: for the file of its ratings.
        given: ratings of the pages that are rated, in order.
        id: unguessable, 32 hexadecimal digits.
    """

    listener: str
    pages: Sequence[Page]
    folder: Path
    given: list[Mapping[str, int]] = field(default_factory=list)
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    def __post_init__(self) -> None:
        self.file = self.folder / file_name(self.listener, self.id, _now())

    @property
    def done(self) -> int:
        """Number of pages that are rated."""
        return len(self.given)

    def rate(self, number: int, ratings: Mapping[str, int]) -> None:
        """Keep the ratings of a page; the same ones again change nothing.

        Args:
            number: of the page, from 1; the first that is not rated, or an earlier one again.
            ratings: id of each sound of the page -> 0 to 100.

        Raises:
            RatedError: it is another page's turn, or the page has other ratings.
            UnbraidError: sounds are missing or strange, or the file cannot be written.
        """
        if number <= self.done and ratings == self.given[number - 1]:
            return  # the answer to them was lost
        if number != self.done + 1 or self.done == len(self.pages):
            raise RatedError(f"page {number} is not to be rated now: reload the page")
        page = self.pages[self.done]
        if ratings.keys() != page.sounds.keys():
            raise UnbraidError("every sound of the page needs one rating, and nothing else does")
        trial, now = page.trial, _now()
        rows = [
            Rating(
                listener=self.listener,
                session=self.id,
                page=number,
                excerpt=trial.excerpt,
                stem=trial.stem,
                scale=trial.scale,
                order=place,
                system=name,
                rating=ratings[sound],
                time=now,
            )
            for place, (sound, name) in enumerate(page.sounds.items(), 1)
        ]
        append_ratings(self.file, rows)
        self.given.append(ratings)

    def find(self, sound: str) -> tuple[Trial, str] | None:
        """Trial and name of the sound with an id."""
        for page in self.pages:
            name = page.name_of(sound)
            if name is not None:
                return page.trial, name
        return None


class Sessions:
    """All runs through a test while its server lives.

    Args:
        trials: of the test.
        folder: for the files of ratings.
    """

    def __init__(self, trials: Sequence[Trial], folder: Path) -> None:
        self._trials = trials
        self._folder = folder
        self._sessions: dict[str, Session] = {}

    def get(self, session_id: str) -> Session | None:
        """The run with an id."""
        return self._sessions.get(session_id)

    def begin(self, listener: str) -> Session:
        """A run in random order: one scale after the other, its pages and their sounds shuffled.

        Args:
            listener: name that the listener gave.
        """
        pages = []
        for scale in _shuffled(SCALES):
            for trial in _shuffled([trial for trial in self._trials if trial.scale == scale]):
                sounds = {secrets.token_hex(16): name for name in _shuffled([*trial.files])}
                pages.append(Page(trial, secrets.token_hex(16), sounds))
        session = Session(listener, pages, self._folder)
        self._sessions[session.id] = session
        return session


def _shuffled(things: Sequence[Thing]) -> list[Thing]:
    return _RANDOM.sample(things, len(things))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
