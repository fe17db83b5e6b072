"""The models that a server's songs can be separated with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from unbraid.errors import ModelError


@dataclass(frozen=True)
class Model:
    """A model at hand.

    Attributes:
        name: by which clients call it, who never name a file.
        path: its weight file.
        stems: names of the stems that it makes.
        licence: of the weights.
    """

    name: str
    path: str
    stems: list[str]
    licence: str


class Models:
    """Models by name, the server's own before the others.

    Args:
        found: their fields, from `worker.models`.
    """

    def __init__(self, found: Iterable[dict[str, Any]] = ()) -> None:
        self._models: dict[str, Model] = {}
        for fields in found:
            model = Model(**fields)
            self._models.setdefault(model.name, model)

    def __iter__(self) -> Iterator[Model]:
        """All models, the server's own first."""
        return iter(self._models.values())

    def choose(self, name: str | None) -> Model:
        """The model of a name; of none, the server's own.

        Raises:
            ModelError: there is no such model.
        """
        if name is None:
            return next(iter(self))
        if name not in self._models:
            names = ", ".join(self._models)
            raise ModelError(f"no model {name!r} here; there are: {names}")
        return self._models[name]

    def without_paths(self, reason: str) -> str:
        """A reason that calls weight files by their models' names."""
        for model in self:
            reason = reason.replace(model.path, model.name)
        return reason
