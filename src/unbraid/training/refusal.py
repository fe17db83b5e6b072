"""What OmegaConf and YAML have against settings, in one line of plain words."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError

PLAIN = {  # what OmegaConf says, and what it means
    "is not a subclass of": "holds settings of its own, and is no value",
    "does not match type hint length": "give as many values as it has by default",
    "is not a ListConfig": "give a list, as [a, b]",
}


def one_line(error: Exception) -> str:
    """What OmegaConf or YAML has against settings, and where, in one line."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    key = getattr(error, "full_key", None)
    known = getattr(error, "parent_node", None)
    message = str(error).splitlines()[0]
    message = next((plain for said, plain in PLAIN.items() if said in message), message)
    if "not in" in message and known is not None:
        return f"no setting {key!r}; there are: {', '.join(map(str, known))}"
    return f"{key}: {message}" if key else message


def refused(schema: type, settings: DictConfig) -> str:
    """Key of the first setting that OmegaConf refuses, for it does not always say."""
    for keys, value in _leaves(settings):
        alone = reduce(lambda inner, key: {key: inner}, reversed(keys), value)
        try:
            OmegaConf.merge(schema, alone)
        except OmegaConfBaseException:
            return ".".join(keys)
    return "its settings"


def _leaves(settings: DictConfig, above: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for key, value in settings.items():
        if isinstance(value, DictConfig) and value:
            yield from _leaves(value, (*above, str(key)))
        else:
            yield (*above, str(key)), value
