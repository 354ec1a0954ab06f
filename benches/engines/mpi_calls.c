/* MPI's collectives at many lengths, for benches/benches/mpi.rs, which compiles it and starts it with
   mpirun.

   Usage: mpi_calls BATCHES SHARE

   For each collective and each length rank 0 prints a line: its name, the length in bytes, and the
   seconds of a call, the median of BATCHES batches of calls one after the other, a batch to its end
   on all ranks. SHARE divides the number of calls in a batch and the longest lengths, for a short
   try. Every page is written before the clock runs, and every result is looked at after it. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BARRIER, BROADCAST, GATHER, SCATTER, ALL_REDUCE, N_OPS };
static const char *names[] = {"barrier", "broadcast", "gather", "scatter", "all-reduce"};

static int rank, size;
static double *own, *whole;
static long n; /* doubles of a part (gather, scatter), or of all */

static void call(int op)
{
    switch (op) {
    case BARRIER:
        MPI_Barrier(MPI_COMM_WORLD);
        break;
    case BROADCAST:
        MPI_Bcast(own, (int)n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        break;
    case GATHER:
        MPI_Gather(own, (int)n, MPI_DOUBLE, whole, (int)n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        break;
    case SCATTER:
        MPI_Scatter(whole, (int)n, MPI_DOUBLE, own, (int)n, MPI_DOUBLE, 0, MPI_COMM_WORLD);
        break;
    case ALL_REDUCE:
        MPI_Allreduce(own, whole, (int)n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        break;
    }
}

static void wrong(int op)
{
    fprintf(stderr, "%s of %ld numbers came out wrong on rank %d\n", names[op], n, rank);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

/* Own numbers are rank + 1 + i % 7; the whole is -1, or for the root of a scatter what is scattered. */
static void fill(int op)
{
    for (long i = 0; i < n; i++)
        own[i] = rank + 1 + i % 7;
    for (long i = 0; i < n * size; i++)
        whole[i] = op == SCATTER ? (double)(i / n + 1 + (i % n) % 7) : -1;
}

static void look(int op)
{
    double all = size * (size + 1) / 2;
    for (long i = 0; i < n; i++) {
        if (op == BROADCAST && own[i] != 1 + i % 7)
            wrong(op);
        if (op == SCATTER && own[i] != rank + 1 + i % 7)
            wrong(op);
        if (op == ALL_REDUCE && whole[i] != all + size * (i % 7))
            wrong(op);
    }
    for (long i = 0; op == GATHER && rank == 0 && i < n * size; i++)
        if (whole[i] != i / n + 1 + (i % n) % 7)
            wrong(op);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (argc != 3)
        MPI_Abort(MPI_COMM_WORLD, 2);
    int n_batches = atoi(argv[1]);
    long share = atol(argv[2]);
    static const long lengths[] = {8, 1 << 10, 64 << 10, 1 << 20, 64 << 20};
    static const long calls[] = {4000, 4000, 400, 40, 2};
    double *times = malloc(n_batches * sizeof *times);
    for (int op = 0; op < N_OPS; op++) {
        for (int l = 0; l < (op == BARRIER ? 1 : 5); l++) {
            long bytes = l == 4 ? lengths[l] / share : lengths[l];
            long n_calls = calls[l] / share > 0 ? calls[l] / share : 1;
            n = bytes / 8;
            if ((op == GATHER || op == SCATTER) && n > 1)
                n /= size;
            own = malloc(n * sizeof *own);
            whole = malloc(n * size * sizeof *whole);
            if (!times || !own || !whole)
                MPI_Abort(MPI_COMM_WORLD, 4);
            fill(op);
            call(op);
            for (int b = 0; b < n_batches; b++) {
                MPI_Barrier(MPI_COMM_WORLD);
                double start = MPI_Wtime();
                for (long c = 0; c < n_calls; c++)
                    call(op);
                /* It is over when all have it. */
                MPI_Barrier(MPI_COMM_WORLD);
                times[b] = (MPI_Wtime() - start) / n_calls;
            }
            look(op);
            qsort(times, n_batches, sizeof *times, by_value);
            if (rank == 0)
                printf("%s %ld %.12g\n", names[op], op == BARRIER ? 0 : bytes, times[n_batches / 2]);
            free(own);
            free(whole);
        }
    }
    free(times);
    MPI_Finalize();
    return 0;
}
