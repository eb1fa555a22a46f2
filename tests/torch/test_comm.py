"""One solve over several processes of torch.distributed, by gloo."""

from __future__ import annotations

import warnings

import numpy as np
import oracle
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from environment import SEED

import otlabel
from otlabel_torch.comm import TorchComm

CASES = ["plain", "weights and shares", "forbidden", "large", "argmax", "sinkhorn", "torch"]
FAULTS = {
    "NaN": "ValueError: process 1 of {}: logits must be finite.* got nan in row 7, column 2",
    "epsilon": "ValueError: every process must pass the same problem, but epsilon of process 1 is another",
    "columns": "ValueError: every process must pass the same problem, but the number of labels of process 1",
    "type": "TypeError: process 1 of {}: logits must hold real numbers",
    "weights": r"ValueError: a \(row weights of all processes\) must sum to 1 within 1e-6, got ",
    "lost label": "ValueError: every label that is to have items needs one that may have it, but label 3 is forbidden",
    "weights of one": "ValueError: every process must pass the same problem, but whether a is given of process 1",
    "callback": "RuntimeError: process 1 of {}: integer division or modulo by zero",
    "source": "OSError: process 1 of {}: disk on fire",
}
FOUND = ("error", "gap", "n_sweeps", "history", "sizes", "potentials", "labels")


def problem(case, seed=SEED):
    rng = np.random.default_rng([seed, CASES.index(case)])
    n, k = (40_000, 50) if case == "large" else (1000, 30)
    scores, a, options = rng.normal(size=(n, k)) + rng.normal(size=k), None, {"epsilon": 0.25, "tol": 1e-9}
    match case:
        case "weights and shares":
            a = rng.integers(0, 2, n).astype(float)
            a, options["b"] = a / a.sum(), rng.dirichlet(np.full(k, 3.0))
        case "forbidden":
            scores[rng.random((n, k)) < 0.2] = -np.inf
        case "argmax":
            a = rng.random(n)
            a, options["rounding"] = a / a.sum(), "argmax"
        case "torch":
            options["backend"] = "torch"
        case "sinkhorn":
            options |= {"method": "sinkhorn", "max_sweeps": 60}
    return scores, a, options


def faulty(fault, rank):
    """(logits, options) of a problem that is wrong in process 1, or in none and in all together."""
    scores, options = np.random.default_rng(rank).normal(size=(60, 5)), {}
    if fault == "lost label":
        scores[:, 3] = -np.inf
    elif fault == "weights":
        options["a"] = np.full(60, 1 / 60)
    elif rank == 1:
        match fault:
            case "NaN":
                scores[7, 2] = np.nan
            case "epsilon":
                options["epsilon"] = 0.5
            case "columns":
                scores = scores[:, :4]
            case "type":
                scores = scores.astype(complex)
            case "weights of one":
                options["a"] = np.full(60, 1 / 60)
            case "callback":
                options["callback"] = lambda step: 1 // 0
            case "source":
                scores = Breaks(scores)
    return scores, options


class Breaks:
    """A store that stops answering after it was checked."""

    chunks = None

    def __init__(self, scores):
        self.scores, self.shape, self.dtype, self.reads = scores, scores.shape, scores.dtype, 0

    def __getitem__(self, rows):
        self.reads += 1
        if self.reads > 3:
            raise OSError("disk on fire")
        return self.scores[rows]


def rows_of(rank, size, n):
    """Uneven on purpose."""
    bounds = np.linspace(0, 1, size + 1) ** 1.5 * n
    return slice(round(bounds[rank]), round(bounds[rank + 1]))


def work(rank, size, folder, seed):
    """In each process: all cases, and between them all faults, after each of which the next solve must go well."""
    warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    comm, errors = TorchComm(), {}
    for case in CASES:
        scores, a, options = problem(case, seed)
        rows = rows_of(rank, size, len(scores))
        result = otlabel.assign(scores[rows], a=None if a is None else a[rows], comm=comm, **options)
        found = {name: getattr(result, name) for name in FOUND} | {"plan": result.plan(np.arange(3))}
        np.savez(folder / f"{case} {rank}.npz", **found)
    for fault in FAULTS:
        scores, options = faulty(fault, rank)
        try:
            otlabel.assign(scores, comm=comm, **options)
        except (ValueError, TypeError, OSError, RuntimeError) as error:
            errors[fault] = f"{type(error).__name__}: {error}"
    np.savez(folder / f"errors {rank}.npz", **errors)
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 4])
def parts(request, tmp_path_factory):
    """Of each case, what each process found."""
    folder, size = tmp_path_factory.mktemp("shards"), request.param
    processes.spawn(work, (size, folder, SEED), nprocs=size)
    return {name: [dict(np.load(folder / f"{name} {rank}.npz")) for rank in range(size)] for name in [*CASES, "errors"]}


@pytest.mark.parametrize("case", CASES)
def test_shards_agree_with_one_process(parts, case):
    scores, a, options = problem(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", otlabel.ConvergenceWarning)
        alone = otlabel.assign(scores, a=a, **options)
    first, size = parts[case][0], len(parts[case])
    for rank, part in enumerate(parts[case]):
        for name in FOUND[:-1]:
            np.testing.assert_array_equal(part[name], first[name])
        rows = np.arange(len(scores))[rows_of(rank, size, len(scores))]
        np.testing.assert_allclose(part["plan"], alone.plan(rows[:3]), rtol=1e-8, atol=1e-300)
    np.testing.assert_array_equal(np.concatenate([part["labels"] for part in parts[case]]), alone.labels)
    np.testing.assert_array_equal(first["sizes"], alone.sizes)
    largest = np.abs(alone.potentials).max()
    apart = scores.shape[-1] * (alone.error + float(first["error"]))  # what is left of either error, of shares of 1/k
    np.testing.assert_allclose(first["potentials"], alone.potentials, rtol=0, atol=1e-10 * max(1, largest) + apart)
    n, k = scores.shape
    a, b = np.full(n, 1 / n) if a is None else a, options.get("b", np.full(k, 1 / k))
    truth = oracle.error(scores, options["epsilon"], first["potentials"], a, b)
    assert float(first["error"]) == pytest.approx(truth, rel=0.01, abs=1e-9)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_shard_fails_every_process_alike(parts, fault):
    errors = [str(part[fault]) for part in parts["errors"]]
    assert errors == [errors[0]] * len(errors)
    with pytest.raises(ValueError, match=FAULTS[fault].format(len(errors))):
        raise ValueError(errors[0])


def work_on_gpu(rank, size, folder):
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    scores, _, options = problem("large")
    own = torch.from_numpy(scores[rows_of(rank, size, len(scores))]).cuda()
    result = otlabel.assign(own, comm=TorchComm(), **options)
    np.savez(folder / f"gpu {rank}.npz", labels=result.labels.cpu(), potentials=result.potentials)
    dist.destroy_process_group()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, or better several: NCCL")
def test_gpus_agree_with_one_process(tmp_path):
    size = torch.cuda.device_count()
    processes.spawn(work_on_gpu, (size, tmp_path), nprocs=size)
    found = [dict(np.load(tmp_path / f"gpu {rank}.npz")) for rank in range(size)]
    scores, _, options = problem("large")
    alone = otlabel.assign(scores, **options)
    np.testing.assert_array_equal(np.concatenate([part["labels"] for part in found]), alone.labels)
    for part in found:
        np.testing.assert_array_equal(part["potentials"], found[0]["potentials"])
    np.testing.assert_allclose(found[0]["potentials"], alone.potentials, rtol=0, atol=1e-7)


def test_without_torch_distributed_it_says_what_to_do():
    with pytest.raises(RuntimeError, match="init_process_group first, or leave comm out"):
        TorchComm()
