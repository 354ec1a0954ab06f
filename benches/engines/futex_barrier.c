/* A barrier of two processes that only sleeps, for benches/benches/peers.rs, which compiles it.

   Usage: futex_barrier BARRIERS

   Each process has a core of its own where there are two. Prints the seconds of a barrier, and how
   often a process saw that the other had not come to a barrier that it had left (0). The least that
   a blocking barrier of processes can cost: two words, and the two system calls. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
    atomic_uint came, phase;
    atomic_long passed[2];
};

static void barrier(struct shared *shared)
{
    unsigned phase = atomic_load(&shared->phase);
    if (atomic_fetch_add(&shared->came, 1) == 1) {
        atomic_store(&shared->came, 0);
        atomic_store(&shared->phase, phase + 1);
        syscall(SYS_futex, &shared->phase, FUTEX_WAKE, 1, NULL, NULL, 0);
        return;
    }
    while (atomic_load(&shared->phase) == phase)
        syscall(SYS_futex, &shared->phase, FUTEX_WAIT, phase, NULL, NULL, 0);
}

static void pin(int nth)
{
    cpu_set_t all, one;
    sched_getaffinity(0, sizeof all, &all);
    for (int cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && seen++ == nth) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            sched_setaffinity(0, sizeof one, &one);
        }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    long n = atol(argv[1]), wrong = 0;
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 3;
    pid_t child = fork();
    if (child < 0)
        return 4;
    int rank = child == 0;
    pin(rank);
    struct timespec start, end;
    barrier(shared);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 1; i <= n; i++) {
        atomic_store(&shared->passed[rank], i);
        barrier(shared);
        wrong += atomic_load(&shared->passed[!rank]) < i;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (rank)
        _exit(wrong > 0);
    int status;
    waitpid(child, &status, 0);
    double seconds = (end.tv_sec - start.tv_sec) + 1e-9 * (end.tv_nsec - start.tv_nsec);
    printf("%.12g %ld\n", seconds / n, wrong + !(WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return 0;
}
