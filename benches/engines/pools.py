"""Python's pools of processes, for benches/benches/managers.rs, which starts it.

Usage: pools.py KIND, with KIND one of pool, ppe, loky, joblib, mpi, watertap-mp, watertap-cf

Two workers. Says "ready", or why it cannot be, and then answers each line with the seconds of wall
clock that something took and a digest of its answers, which the clock does not include:

    start        a new pool, until the answers of two tasks are there
    life         the same, and the end of the pool
    one N        N tasks that do nothing, one by one, in a pool that is there
    auto N       the same in chunks: four for each worker, as multiprocessing.Pool cuts them
    arrays N     two tasks that negate N numbers of 8 bytes, in a pool that is there

The managers of WaterTAP have no pool that stays: there "one", "auto" and "arrays" take a scatter
and a gather, which start and end the workers. "mpi" is started by mpirun with mpi4py.futures.
"""

import importlib
import importlib.machinery
import sys
import time
import types

try:
    import numpy as np
except ImportError as error:
    print(error, flush=True)
    sys.exit()

WORKERS = 2


def nothing(value):
    return value


def negate(array):
    return -array


def build():
    return []


def each_nothing(values):
    return [int(value) for value in values]


def each_negate(arrays):
    return [-array for array in arrays]


class Pool:
    def __init__(self):
        import multiprocessing

        self.pool = multiprocessing.get_context("fork").Pool(WORKERS)

    def map(self, work, values, chunk):
        return self.pool.map(work, values, chunksize=chunk)

    def end(self):
        self.pool.close()
        self.pool.join()


class Executor:
    def map(self, work, values, chunk):
        return list(self.executor.map(work, values, chunksize=chunk))

    def end(self):
        self.executor.shutdown(wait=True)


class Ppe(Executor):
    def __init__(self):
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        fork = multiprocessing.get_context("fork")
        self.executor = ProcessPoolExecutor(WORKERS, mp_context=fork)


class Loky(Executor):
    def __init__(self):
        from loky import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(WORKERS)


class Mpi(Executor):
    def __init__(self):
        from mpi4py.futures import MPIPoolExecutor

        self.executor = MPIPoolExecutor(WORKERS)
        self.executor.bootup()
        n_workers = self.executor.num_workers
        if n_workers != WORKERS:
            raise ImportError(f"mpi4py has {n_workers} workers and not {WORKERS}")


class Joblib:
    def __init__(self):
        import joblib

        self.delayed = joblib.delayed
        self.parallel = joblib.Parallel(n_jobs=WORKERS, backend="loky")
        self.parallel.__enter__()

    def map(self, work, values, chunk):
        self.parallel.batch_size = chunk
        return self.parallel(self.delayed(work)(value) for value in values)

    def end(self):
        from joblib.externals.loky import get_reusable_executor

        self.parallel.__exit__(None, None, None)
        get_reusable_executor().shutdown(wait=True)


class WaterTap:
    """A manager of parameter_sweep; its other modules need packages that these do not."""

    def __init__(self, module, manager):
        if "parameter_sweep" not in sys.modules:
            found = importlib.machinery.PathFinder.find_spec("parameter_sweep")
            if found is None:
                raise ImportError("No module named 'parameter_sweep'")
            for name, below in [("parameter_sweep", ""), ("parameter_sweep.parallel", "/parallel")]:
                sys.modules[name] = types.ModuleType(name)
                paths = found.submodule_search_locations
                sys.modules[name].__path__ = [path + below for path in paths]
        module = importlib.import_module(f"parameter_sweep.parallel.{module}")
        self.manager = getattr(module, manager)

    def map(self, work, values, chunk):
        manager = self.manager(number_of_subprocesses=WORKERS)
        manager.scatter(build, {}, {nothing: each_nothing, negate: each_negate}[work], values)
        return [result for results in manager.gather() for result in results.results]

    def end(self):
        pass


MAKE = {
    "pool": Pool,
    "ppe": Ppe,
    "loky": Loky,
    "joblib": Joblib,
    "mpi": Mpi,
    "watertap-mp": lambda: WaterTap(
        "multiprocessing_parallel_manager", "MultiprocessingParallelManager"
    ),
    "watertap-cf": lambda: WaterTap(
        "concurrent_futures_parallel_manager", "ConcurrentFuturesParallelManager"
    ),
}


def digest(values):
    """Depends on the order; the same as that of managers.rs."""
    return sum((i + 1) * value for i, value in enumerate(values))


def digest_of_arrays(arrays):
    return digest([int(array.sum()) for array in arrays])


def main():
    make = MAKE[sys.argv[1]]
    pool = None
    try:
        pool = make()
    except ImportError as error:
        print(error, flush=True)
        return
    print("ready", flush=True)
    arrays = []
    for line in sys.stdin:
        what, *n = line.split()
        if what in ("start", "life"):
            # Another one beside it would be the same one for joblib.
            if pool is not None:
                pool.end()
                pool = None
            begin = time.perf_counter()
            fresh = make()
            answer = fresh.map(nothing, [0, 1], 1)
            seconds = time.perf_counter() - begin
            fresh.end()
            if what == "life":
                seconds = time.perf_counter() - begin
            print(seconds, digest(answer), flush=True)
            continue
        if pool is None:
            pool = make()
            pool.map(nothing, [0, 1], 1)
        n = int(n[0])
        if what == "arrays":
            # Every page is written.
            if len(arrays) != 2 or len(arrays[0]) != n:
                arrays = [np.full(n, value) for value in (1.0, 2.0)]
            work, values, chunk = negate, arrays, 1
        else:
            work, values = nothing, list(range(n))
            chunk = 1 if what == "one" else -(-n // (4 * WORKERS))
        begin = time.perf_counter()
        answer = pool.map(work, values, chunk)
        seconds = time.perf_counter() - begin
        answer = digest_of_arrays(answer) if what == "arrays" else digest(answer)
        print(seconds, answer, flush=True)
    if pool is not None:
        pool.end()


if __name__ == "__main__":
    main()
