"""How a network is run: precision, several segments at a time, and memory that runs out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch

from unbraid import Separator
from unbraid.errors import ConfigError, ModelError, UnbraidWarning
from unbraid.models import build
from unbraid.runner import Halving, Runner

RATE = 44100


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return build("bandsplit", features=8, hidden=8, blocks=1)


def runner(precision: str = "auto") -> Runner:
    return Runner(network(), "cpu", precision, None, 0)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_what_is_wanted_is_what_is_computed() -> None:
    segments = torch.randn(1, 2, 16384, generator=torch.Generator().manual_seed(0)) / 8
    exact, rounded = (runner(name)(segments)[0] for name in ("float32", "bfloat16"))
    assert exact.dtype == rounded.dtype == torch.float32
    error = (exact - rounded).abs().max() / exact.abs().max()
    assert 0 < error < 0.05
    with torch.no_grad():
        torch.testing.assert_close(exact, network().eval()(segments), atol=1e-7, rtol=1e-5)


def test_the_precision_can_be_seen_and_auto_chooses_one() -> None:
    assert Separator(network(), device="cpu", precision="bfloat16").precision == "bfloat16"
    assert Separator(network(), device="cpu").precision in ("float32", "bfloat16")


def test_a_device_may_be_one_of_torch() -> None:
    assert Separator(network(), device=torch.device("cpu")).device == torch.device("cpu")
    with pytest.raises(ConfigError, match="device 'meta' is not at hand"):
        Separator(network(), device=torch.device("meta"))


def test_a_device_of_a_number_that_is_not_there(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("cuda:2", "cuda:", "cuda:00", "cpu:", "cpu:1"):
        with pytest.raises(ConfigError, match=f"device '{name}' is not at hand"):
            Separator(network(), device=name)


def test_a_gpu_that_pytorch_is_not_made_for_is_left_alone(monkeypatch) -> None:
    def refuse(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available\nCUDA kernel errors might be")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.warns(UnbraidWarning, match=r"^the GPU is not used: .*image is available$"):
        assert Separator(network(), device="auto").device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"device 'cuda': .*image is available; choose"):
        Separator(network(), device="cuda")


def test_an_unknown_precision() -> None:
    with pytest.raises(ConfigError, match=r"precision 'int8'.*float32, bfloat16"):
        Separator(network(), device="cpu", precision="int8")


def test_stems_do_not_depend_on_the_number_of_threads(threads: int) -> None:
    mixture = np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32) / 8
    several = Separator(network(), device="cpu", segment=1.0)(mixture, RATE)["vocals"]
    torch.set_num_threads(1)
    alone = Separator(network(), device="cpu", segment=1.0)(mixture, RATE)["vocals"]
    np.testing.assert_allclose(several, alone, rtol=0, atol=1e-6)


def test_results_come_in_order_and_the_threads_are_given_back(threads: int) -> None:
    taken = iter(range(20))
    assert list(runner().map(lambda number: number**2, taken)) == [n**2 for n in range(20)]
    assert torch.get_num_threads() == threads


def test_threads_are_divided_among_what_is_computed_at_a_time(threads: int) -> None:
    assert set(runner().map(lambda _: torch.get_num_threads(), range(5))) == {1}


def test_an_error_ends_the_work_and_gives_the_threads_back(threads: int) -> None:
    def failing(number: int) -> int:
        if number == 3:
            raise KeyError(number)
        return number

    done, before = [], threading.active_count()
    with pytest.raises(KeyError):
        for number in runner().map(failing, range(1000)):
            done.append(number)
    assert done == [0, 1, 2]
    assert torch.get_num_threads() == threads
    assert threading.active_count() == before


def test_only_what_is_needed_is_taken() -> None:
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = runner().map(lambda number: number, items())
    assert next(results) == 0
    assert len(taken) <= 5
    results.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_process_does_not_wait_for_threads_that_are_not_there() -> None:
    program = """
import os, signal, numpy, torch
from unbraid import Separator
from unbraid.models import build
torch.set_num_threads(2)
separator = Separator(build("bandsplit", features=8, hidden=8, blocks=1), "cpu", segment=1.0)
song = numpy.random.default_rng(0).random((2, 3 * 44100), numpy.float32)
vocals = separator(song, 44100)["vocals"]
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    signal.alarm(300)
    again = separator(song, 44100)["vocals"]
    os._exit(not numpy.allclose(again, vocals, rtol=0, atol=1e-6))
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("Allocation on device"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.50 GB, max allowed: 6.8 GB)."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_half_a_batch_where_memory_runs_out(error: RuntimeError) -> None:
    sizes = []

    def function(batch: torch.Tensor) -> list[torch.Tensor]:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise error
        return [2 * batch, -batch]

    double, batch = Halving(function), torch.arange(9.0)
    torch.testing.assert_close(double(batch), [2 * batch, -batch])
    assert sizes == [9, 4, 2, 2, 2, 2, 1]
    double(batch[:4])
    assert sizes[7:] == [2, 2]


def test_memory_that_holds_no_segment_is_one_line() -> None:
    def function(batch: torch.Tensor) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ModelError, match=r"does not hold a segment.*--device cpu, or, in Python"):
        Halving(function)(torch.zeros(5, 2))


def test_other_errors_are_not_taken_for_memory_that_runs_out() -> None:
    def function(batch: torch.Tensor) -> list[torch.Tensor]:
        raise RuntimeError("expected scalar type Half")

    with pytest.raises(RuntimeError, match="scalar type"):
        Halving(function)(torch.zeros(5, 2))
