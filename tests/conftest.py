"""What several test files need."""

import os
import shutil
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from hypothesis import settings

from unbraid import Separator
from unbraid.audio import save_audio
from unbraid.cli import main
from unbraid.errors import UnbraidWarning
from unbraid.models import build
from unbraid.models.checkpoint import save

settings.register_profile("untimed", deadline=None)  # a busy machine is not an error
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then those with most tests: the last are short.

    Of processes that share the suite by files (see the Makefile), none then works on alone. Of
    tests that share a name these would run one, without a word.
    """
    names = Counter(item.nodeid for item in items)
    if shared := [name for name, number in names.items() if number > 1]:
        raise pytest.UsageError(f"several tests of one name: {', '.join(shared)}")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -tests[item.path]))


@pytest.fixture(scope="session", autouse=True)
def no_added_models(tmp_path_factory) -> Iterator[None]:
    """Models that the developer added are not there in tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNBRAID_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A tiny network with random weights."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    network = build("bandsplit", features=4, hidden=4, blocks=1)
    save(network, path, architecture="bandsplit", licence="CC0-1.0", data="nothing")
    return path


@pytest.fixture(scope="session")
def separator() -> Separator:
    """Random weights, in segments of a second."""
    torch.manual_seed(0)
    network = build("bandsplit", features=8, hidden=8, blocks=1)
    return Separator(network, device="cpu", segment=1.0, batch_size=2)


@pytest.fixture(scope="session")
def long_songs(tmp_path_factory) -> list[Path]:
    """Two songs of ten minutes, whose separation nobody waits for."""
    folder = tmp_path_factory.mktemp("long")
    noise = np.random.default_rng(0).normal(size=(2, 44100)).astype(np.float32) / 16
    save_audio(folder / "a.wav", np.tile(noise, 600), 44100, "16")
    return [folder / "a.wav", shutil.copy(folder / "a.wav", folder / "b.wav")]


@pytest.fixture
def unbraid(capfd: pytest.CaptureFixture[str]) -> Callable[..., CompletedProcess[str]]:
    """The command line in this process, which has imported torch: what it returns and says."""

    def run(*arguments: object) -> CompletedProcess[str]:
        words = ["unbraid", *map(str, arguments)]
        numbers = (signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else (signal.SIGTERM,)
        handlers = {number: signal.getsignal(number) for number in numbers}
        capfd.readouterr()
        try:
            with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
                warnings.simplefilter("default", UnbraidWarning)
                patch.setattr(sys, "argv", words)
                main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return CompletedProcess(words, code, *capfd.readouterr())

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks sum here as they do in the processes of tests, to the bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def unreadable_secret(monkeypatch) -> None:
    """No folder named `secret` can be listed, not by root either."""
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
