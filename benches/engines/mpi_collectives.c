/* MPI's collectives, for benches/benches/peers.rs, which compiles it and starts it with mpirun.

   Usage: mpi_collectives BARRIERS NUMBERS BROADCASTS REDUCTIONS

   Rank 0 prints one line: the ranks; the seconds of a barrier, of a broadcast of NUMBERS numbers of
   8 bytes, and of their sum on all ranks (the least of so many each); and the sum of what came
   out of the last reduction on rank 0, plus that of the last broadcast on the last rank. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 5)
        MPI_Abort(MPI_COMM_WORLD, 2);
    long n_barriers = atol(argv[1]), n = atol(argv[2]), n_broadcasts = atol(argv[3]);
    long n_reductions = atol(argv[4]);

    MPI_Barrier(MPI_COMM_WORLD);
    double start = MPI_Wtime();
    for (long i = 0; i < n_barriers; i++)
        MPI_Barrier(MPI_COMM_WORLD);
    double barrier = (MPI_Wtime() - start) / n_barriers;

    /* Every page of both is written before the clock runs. */
    double *own = malloc(n * sizeof *own), *sum = malloc(n * sizeof *sum);
    if (!own || !sum)
        MPI_Abort(MPI_COMM_WORLD, 3);
    for (long i = 0; i < n; i++) {
        own[i] = rank + 1;
        sum[i] = -1;
    }
    double reduction = 1e9, broadcast = 1e9;
    for (long k = 0; k < n_reductions; k++) {
        MPI_Barrier(MPI_COMM_WORLD);
        start = MPI_Wtime();
        MPI_Allreduce(own, sum, (int)n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        double seconds = MPI_Wtime() - start;
        reduction = seconds < reduction ? seconds : reduction;
    }
    for (long k = 0; k < n_broadcasts; k++) {
        MPI_Barrier(MPI_COMM_WORLD);
        start = MPI_Wtime();
        MPI_Bcast(own, (int)n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        /* It is over when all have it. */
        MPI_Barrier(MPI_COMM_WORLD);
        double seconds = MPI_Wtime() - start;
        broadcast = seconds < broadcast ? seconds : broadcast;
    }
    double here = 0, last = 0;
    for (long i = 0; i < n; i++) {
        here += sum[i];
        last += own[i];
    }
    MPI_Bcast(&last, 1, MPI_DOUBLE, size - 1, MPI_COMM_WORLD);
    if (rank == 0)
        printf("%d %.12g %.12g %.12g %.17g\n", size, barrier, broadcast, reduction, here + last);
    free(own);
    free(sum);
    MPI_Finalize();
    return 0;
}
