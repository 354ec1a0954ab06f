"""mpi4py's collectives; what mpi_collectives.c does, with the same arguments and answer."""

import sys
import time

try:
    import numpy as np
    from mpi4py import MPI
except ImportError as error:
    sys.exit(f"{error}")


def main():
    n_barriers, n, n_broadcasts, n_reductions = (int(arg) for arg in sys.argv[1:])
    world = MPI.COMM_WORLD
    rank, size = world.Get_rank(), world.Get_size()
    world.Barrier()
    begin = time.perf_counter()
    for _ in range(n_barriers):
        world.Barrier()
    barrier = (time.perf_counter() - begin) / n_barriers
    own, total = np.full(n, rank + 1.0), np.full(n, -1.0)
    reduction = broadcast = 1e9
    for _ in range(n_reductions):
        world.Barrier()
        begin = time.perf_counter()
        world.Allreduce(own, total, MPI.SUM)
        reduction = min(reduction, time.perf_counter() - begin)
    for _ in range(n_broadcasts):
        world.Barrier()
        begin = time.perf_counter()
        world.Bcast(own, 0)
        world.Barrier()
        broadcast = min(broadcast, time.perf_counter() - begin)
    last = world.bcast(float(own.sum()), size - 1)
    if rank == 0:
        print(size, barrier, broadcast, reduction, int(total.sum() + last))


if __name__ == "__main__":
    main()
