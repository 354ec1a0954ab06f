"""Records what Python and numpy make of the strided and the contiguous division.

Run as `python make_python_divisions.py > python_divisions.json`, with numpy 1.26.4.
See README.md beside this file for the meaning of the fields.
"""

import json
import platform
import sys

import numpy as np

SMALL = [(n, k) for n in list(range(0, 20)) + [31, 64, 100] for k in (1, 2, 3, 4, 5, 7, 9, 16)]
LONG = [(1000, 7), (4096, 63), (9999, 64), (10000, 1), (10000, 63), (10000, 64), (10, 1000)]
HUGE = [
    (10**12, 10**6),
    (10**12 - 1, 10**6 + 3),
    (2**32, 3),
    (2**63 - 1, 7),
    (2**64 - 1, 1),
    (2**64 - 1, 64),
    (2**64 - 1, 2**63),
    (2**64 - 1, 2**64 - 1),
    (2**64 - 2, 2**64 - 1),
]


def some_jobs(n_jobs):
    near = {0, 1, 2, n_jobs // 3, n_jobs // 2, n_jobs - 2, n_jobs - 1}
    return sorted(i for i in near if 0 <= i < n_jobs)


def spot(idx, n_tasks, n_jobs):
    tasks = range(idx, n_tasks, n_jobs)
    # len() refuses what does not fit a C ssize_t; the steps between the ends are the same number.
    length = (tasks[-1] - tasks[0]) // n_jobs + 1 if tasks else 0
    at = sorted({k for k in (0, 1, length // 3, length // 2, length - 2, length - 1) if 0 <= k < length})
    return {
        "n_tasks": n_tasks,
        "n_jobs": n_jobs,
        "idx": idx,
        "len": length,
        "at": [[k, tasks[k]] for k in at],
    }


record = {
    "python": platform.python_version(),
    "numpy": np.__version__,
    "strided": [
        {"n_tasks": n, "n_jobs": k, "jobs": [list(range(i, n, k)) for i in range(k)]}
        for n, k in SMALL
    ],
    "strided_spots": [spot(i, n, k) for n, k in LONG + HUGE for i in some_jobs(k)],
    "blocks": [
        {"n_tasks": n, "n_jobs": k, "jobs": [b.tolist() for b in np.array_split(np.arange(n), k)]}
        for n, k in SMALL
    ],
    # One byte that is repeated: as long as need be, and numpy splits it all the same.
    "blocks_lens": [
        {
            "n_tasks": n,
            "n_jobs": k,
            "lens": [len(b) for b in np.array_split(np.broadcast_to(np.uint8(0), (n,)), k)],
        }
        for n, k in LONG + [(10**12, 64), (10**12 + 7, 9), (2**63 - 1, 1), (2**63 - 1, 64)]
    ],
}
json.dump(record, sys.stdout, separators=(",", ":"))
print()
