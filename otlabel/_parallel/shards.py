"""One solve over the rows of several processes: every process holds some rows, all of them take the same steps.

Kernels of a shard answer for its rows; ``KernelsOfAll`` puts the answers together, so that the solver and the
rounding, which run alike in every process, see all rows. The processes must run on the same kind of processor, with as
many BLAS threads: one that rounds differently could take another step than the rest, and wait for it forever.
"""

from __future__ import annotations

import copy
import dataclasses
import zlib
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from .._input.known import Held
from .._input.problem import Problem, check_equal_weights, check_total
from .._input.reach import reach_of
from .._solver.engines import has_dense
from ..backends.precision import swept
from ..backends.protocol import Dense, Kernels, Shortlist, Survey

Result = TypeVar("Result")
_HELD = 1 << 22  # scores of all processes, up to which each of them holds all: 32 MiB
_ERRORS = (ValueError, TypeError, ImportError, MemoryError, OSError, RuntimeError)  # what ``assign`` may raise


class Comm(Protocol):
    """What ``assign(comm=...)`` needs; ``otlabel_torch.comm.TorchComm`` is one."""

    rank: int
    size: int

    def all_reduce(self, array: np.ndarray) -> np.ndarray:
        """The sum over all processes of a float64 array of the same shape: the same bits in each."""


class SingleProcess:
    """One process that has all rows: what ``Shards`` is to several."""

    rows = slice(None)
    n: int
    weights: np.ndarray
    counted: np.ndarray

    def together(self, work: Callable[[], Result]) -> Result:
        return work()

    def merge(self, problem: Problem, has_weights: bool, rounding: str) -> Problem:
        self.n, self.weights = problem.shape[1], _weights(problem)
        self.counted = self.weights > 0
        return problem

    def reached(self, problem: Problem) -> tuple[Problem, np.ndarray]:
        if not problem.forbids:
            return problem, np.ones(problem.b.shape, dtype=bool)
        reach = reach_of(problem.scores, problem.b, self.counted)
        return dataclasses.replace(problem.without(reach.lost), reach=reach), reach.labels

    def over_all_rows(self, kernels: Kernels) -> Kernels:
        return kernels


def _weights(problem: Problem) -> np.ndarray:
    """(n,) of the rows, 0 where the label is known; ValueError if all are in all processes."""
    if problem.known is not None and not problem.held.weights.sum() < 1 - 1e-12:
        raise ValueError("known must leave items to be labelled, but no item that counts is unknown (-1).")
    return problem.free


class Shards:
    """The processes of one solve, and which rows are whose."""

    rows: slice  # of this process
    n: int  # of all rows
    weights: np.ndarray  # (n,) of all rows, 0 where the label is known
    counted: np.ndarray  # (n,) bool: rows of positive weight

    def __init__(self, comm: Comm):
        self.comm = comm

    def gather(self, array: np.ndarray) -> np.ndarray:
        """The one-dimensional arrays of all processes, of any lengths, one after the other, as float64."""
        ends = np.cumsum(self.stack(np.array(len(array)))).astype(np.int64)
        whole = np.zeros(ends[-1])
        whole[ends[self.comm.rank] - len(array) : ends[self.comm.rank]] = array
        return self.comm.all_reduce(whole)

    def stack(self, array: np.ndarray) -> np.ndarray:
        """(size, ...): the arrays of all processes, of one shape."""
        whole = np.zeros((self.comm.size, *array.shape))
        whole[self.comm.rank] = array
        return self.comm.all_reduce(whole)

    def together(self, work: Callable[[], Result]) -> Result:
        """work(), and a small sum; if it raises in some process, the same error is raised in all."""
        error: Exception | None = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        kind = next((i for i, known in enumerate(_ERRORS) if isinstance(error, known)), len(_ERRORS) - 1)
        kinds = self.stack(np.array([-1.0 if error is None else kind]))[:, 0]
        if (kinds < 0).all():
            return result
        first = int(np.argmax(kinds >= 0))
        text = f"process {first} of {self.comm.size}: {error}".encode()
        message = self.gather(np.frombuffer(text if self.comm.rank == first else b"", dtype=np.uint8))
        raise _ERRORS[int(kinds[first])](message.astype(np.uint8).tobytes().decode()) from error

    def merge(self, problem: Problem, has_weights: bool, rounding: str) -> Problem:
        """The problem of one shard with what it must know of the others: weights, the largest score, what is forbidden.

        Raises:
            ValueError: the shards do not fit together, in every process alike.
        """
        self._check_alike(problem, has_weights, rounding)
        rows = self.stack(np.array([float(problem.shape[1])]))[:, 0].astype(np.int64)
        self.n = int(rows.sum())
        end = int(rows[: self.comm.rank + 1].sum())
        self.rows = slice(end - int(rows[self.comm.rank]), end)
        a = self.gather(problem.a) if has_weights else np.full(self.n, 1.0 / self.n)
        if has_weights:
            a = check_total("a", a, "row weights of all processes", "a / a.sum(), the sum taken over all of them")
            if problem.bounds is not None:
                check_equal_weights(a)
        largest = float(self.stack(np.array([problem.largest])).max())
        forbids = bool(self.stack(np.array([float(problem.forbids)])).any())
        own = dataclasses.replace(problem, a=a[self.rows], largest=largest, forbids=forbids)
        if problem.known is not None:
            held = Held.by(problem.known, own.a, len(problem.held.items))
            items, weights = self.comm.all_reduce(np.stack([held.items.astype(np.float64), held.weights]))
            own = dataclasses.replace(own, held=Held(np.rint(items).astype(np.int64), weights))
        self.weights = self.gather(self.together(lambda: _weights(own)))
        self.counted = self.weights > 0
        return own

    def reached(self, problem: Problem) -> tuple[Problem, np.ndarray]:
        """The problem without what its rows cannot have, and (h, k) bool, labels that some row of all may have."""
        if not problem.forbids:
            return problem, np.ones(problem.b.shape, dtype=bool)
        found = self.together(lambda: reach_of(problem.scores, problem.b, self.counted[self.rows]))
        return problem.without(found.lost), self.stack(found.labels.astype(float)).max(axis=0) > 0

    def over_all_rows(self, kernels: Kernels) -> Kernels:
        """Kernels of all rows, from this process's."""
        return KernelsOfAll(kernels, self)

    def _check_alike(self, problem: Problem, has_weights: bool, rounding: str) -> None:
        h, _, k = problem.shape
        same = {
            "the number of heads": h,
            "the number of labels": k,
            "whether a is given": has_weights,
            "whether known is given": problem.known is not None,
            "epsilon": problem.epsilon,
            "coverage": -1.0 if problem.coverage is None else problem.coverage,
            "tol": problem.tol,
            "max_sweeps": problem.max_sweeps,
            "rounding": zlib.crc32(rounding.encode()),
            "method": zlib.crc32(problem.method.encode()),
            "b": zlib.crc32(np.ascontiguousarray(problem.b).tobytes()),
            "size_min or size_max": 0 if problem.bounds is None else zlib.crc32(np.stack(problem.bounds).tobytes()),
            "init": zlib.crc32(np.ascontiguousarray(problem.init).tobytes()),
        }
        values = self.stack(np.array([float(value) for value in same.values()]))
        for name, column in zip(same, values.T, strict=True):
            if (column != column[0]).any():
                other = int(np.argmax(column != column[0]))
                raise ValueError(f"every process must pass the same problem, but {name} of process {other} is another.")


class KernelsOfAll:
    """Kernels of all rows, from those of each shard; ``protocol.Kernels``."""

    def __init__(self, local: Kernels, shards: Shards):
        self.local, self.shards, self.blur, self.in_host_memory = local, shards, local.blur, local.in_host_memory
        self._whole: Kernels | None = None  # of few rows, where every process holds all

    def rescaled(self, factor: float) -> KernelsOfAll:
        return KernelsOfAll(self.local.rescaled(factor), self.shards)

    def seekable(self) -> KernelsOfAll:
        return KernelsOfAll(self.shards.together(self.local.seekable), self.shards)

    def dense(self) -> Dense | None:
        """Of few rows, which every process then holds: what is small goes as it would in one process."""
        local: Any = self.local  # which has a source and weights where it has dense sweeps
        n, shards = self.shards.n, self.shards
        small = shards.together(lambda: has_dense(local) and n * local.source.shape[1] <= _HELD)
        if shards.stack(np.array([float(small)])).min() == 0:
            return None
        own = shards.together(lambda: np.asarray(local.source[0 : local.source.shape[0]]))
        widths = shards.stack(np.array([float(own.dtype.itemsize if own.dtype.kind == "f" else 8)]))
        scores = shards.gather(own.astype(np.float64).ravel()).reshape(n, -1).astype(f"f{int(widths.max())}")
        self._whole = local.holding(scores, shards.gather(local.a))
        return self._whole.dense()

    def survey(self, g: np.ndarray, width: float, precise: bool) -> Survey:
        if self._whole is not None:
            return self._whole.survey(g, width, precise)
        return SurveyOfAll(self.shards.together(lambda: self.local.survey(g, width, precise)), g, self.shards)

    def labels(self, g: np.ndarray) -> np.ndarray:
        return self.shards.gather(self.shards.together(lambda: self.local.labels(g))).astype(np.int64)

    def shortlist(self, g: np.ndarray, width: float) -> Shortlist:
        short = self.shards.together(lambda: self.local.shortlist(g, width))
        gather = self.shards.gather
        counts = gather(np.diff(short.indptr)).astype(np.int64)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return Shortlist(gather(short.best), indptr, gather(short.label).astype(np.int32), gather(short.value))

    def regrets(self, items: list[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = self.shards.rows
        own = [some[(some >= rows.start) & (some < rows.stop)] - rows.start for some in items]
        least, which = self.shards.together(lambda: self.local.regrets(own, labels))
        all_least, all_which = self.shards.stack(least), self.shards.stack(which + rows.start)
        first = all_least.argmin(axis=0)[None]
        found = (np.take_along_axis(every, first, axis=0)[0] for every in (all_least, all_which))
        return next(found), next(found).astype(np.int64)

    def rows(self, rows: np.ndarray) -> np.ndarray:
        mine = (rows >= self.shards.rows.start) & (rows < self.shards.rows.stop)
        local = self.shards.together(lambda: self.local.rows(rows[mine] - self.shards.rows.start))
        whole = np.zeros((len(rows), local.shape[1]))
        whole[mine] = local
        return self.shards.comm.all_reduce(whole)


class SurveyOfAll:
    """``protocol.Survey`` of all rows, from those of each shard."""

    def __init__(self, local: Survey, g: np.ndarray, shards: Shards):
        self._shards = shards
        logsumexp = float(shards.comm.all_reduce(np.array([local.swept.logsumexp]))[0])
        per_shard = shards.stack(np.stack([local.swept.c, local.swept.log_c]))
        self.swept, _ = swept(
            logsumexp,
            per_shard[:, 0].sum(axis=0),
            g,
            lambda columns: np.logaddexp.reduce(per_shard[:, 1, columns], axis=0),
        )
        self.cost = self._mean(local.cost)
        # In any process: all take the same steps.
        self.rough, self.narrows = (self._mean(each) > 0 for each in (local.rough, local.narrows))
        self._list(local)

    def _list(self, local: Survey) -> None:
        self._local = local
        self.squares = None if local.squares is None else self._shards.comm.all_reduce(local.squares)
        self._known: dict[str, float] = {}

    @property
    def listing(self) -> float:
        return self._mean(self._shards.together(lambda: self._local.listing))

    @property
    def density(self) -> float:
        if "density" not in self._known:
            self._known["density"] = self._mean(self._shards.together(lambda: self._local.density))
        return self._known["density"]

    @property
    def pairs(self) -> float:
        if "pairs" not in self._known:
            self._known["pairs"] = self._mean(self._local.density * self._local.pairs) / self.density
        return self._known["pairs"]

    def _mean(self, value: float) -> float:
        """Over all rows, of what is known for each shard."""
        rows = self._shards.rows
        part = (rows.stop - rows.start) / self._shards.n
        return float(self._shards.comm.all_reduce(np.array([part * value]))[0])

    def sweep(self, g: np.ndarray) -> tuple[float, np.ndarray]:
        logsumexp, c = self._shards.together(lambda: self._local.sweep(g))
        total = self._shards.comm.all_reduce(np.append(c, logsumexp))
        return float(total[-1]), total[:-1]

    def narrowed(self, g: np.ndarray, width: float) -> SurveyOfAll:
        narrow = copy.copy(self)
        narrow._list(self._shards.together(lambda: self._local.narrowed(g, width)))
        return narrow

    def hessian(self, g: np.ndarray) -> np.ndarray:
        return self._shards.comm.all_reduce(self._shards.together(lambda: self._local.hessian(g)))
