"""mpi4py's collectives; what mpi_calls.c does, with the same arguments and answer."""

import sys
import time

try:
    import numpy as np
    from mpi4py import MPI
except ImportError as error:
    sys.exit(f"{error}")

LENGTHS = [(8, 4000), (1 << 10, 4000), (64 << 10, 400), (1 << 20, 40), (64 << 20, 2)]


def main():
    n_batches, share = (int(arg) for arg in sys.argv[1:])
    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    for op in ["barrier", "broadcast", "gather", "scatter", "all-reduce"]:
        for length, n_calls in LENGTHS[:1] if op == "barrier" else LENGTHS:
            bytes_ = length // share if length == 64 << 20 else length
            n_calls = max(n_calls // share, 1)
            n = bytes_ // 8
            if op in ("gather", "scatter") and n > 1:
                n //= size
            ramp = np.arange(n) % 7 + 1.0
            own = ramp + rank
            parts = np.concatenate([ramp + r for r in range(size)])
            whole = parts.copy() if op == "scatter" else np.full(n * size, -1.0)
            total = whole[:n]
            call = {
                "barrier": world.Barrier,
                "broadcast": lambda: world.Bcast(own, 0),
                "gather": lambda: world.Gather(own, whole, 0),
                "scatter": lambda: world.Scatter(whole, own, 0),
                "all-reduce": lambda: world.Allreduce(own, total, MPI.SUM),
            }[op]
            call()
            times = []
            for _ in range(n_batches):
                world.Barrier()
                start = time.perf_counter()
                for _ in range(n_calls):
                    call()
                world.Barrier()
                times.append((time.perf_counter() - start) / n_calls)
            expected = {
                "barrier": True,
                "broadcast": np.array_equal(own, ramp),
                "gather": rank > 0 or np.array_equal(whole, parts),
                "scatter": np.array_equal(own, ramp + rank),
                "all-reduce": np.array_equal(total, size * (ramp - 1) + size * (size + 1) / 2),
            }
            assert expected[op], f"{op} of {n} numbers came out wrong on rank {rank}"
            if rank == 0:
                length = 0 if op == "barrier" else bytes_
                print(op, length, sorted(times)[n_batches // 2])


if __name__ == "__main__":
    main()
