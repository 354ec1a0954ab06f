"""Sends trees of times through multiprocessing.Queue, for benches/benches/shm.rs, which starts it.

Usage: mp_queue.py PROCESSES STAMPS

A child process holds PROCESSES trees of STAMPS stamps each, as dictionaries, which cost less to
pickle than gtimer's own objects. For a line "check" on its standard input this answers with the
number of trees that came through the queue and the sum of their iterations; for a line "time" with
the seconds of wall clock from the asking to the last tree.
"""

import multiprocessing
import sys
import time


def tree(n_stamps):
    names = [f"stage {i}" for i in range(1, n_stamps + 1)]
    stamps = {
        "order": names,
        "cum": {name: 1e-6 * i for i, name in enumerate(names)},
        "itr_num": {name: 1 for name in names},
        "itr_max": {name: 2e-6 * i for i, name in enumerate(names)},
        "itr_min": {name: 1e-6 * i for i, name in enumerate(names)},
    }
    return {"name": "root", "total": 1.0, "self_agg": 0.1, "stamps": stamps, "subdvsn": {}}


def send(requests, queue, n_processes, n_stamps):
    trees = [tree(n_stamps) for _ in range(n_processes)]
    while requests.get():
        for each in trees:
            queue.put(each)


def main():
    n_processes, n_stamps = (int(arg) for arg in sys.argv[1:])
    requests, queue = multiprocessing.Queue(), multiprocessing.Queue()
    args = (requests, queue, n_processes, n_stamps)
    child = multiprocessing.Process(target=send, args=args, daemon=True)
    child.start()
    for line in sys.stdin:
        begin = time.perf_counter()
        requests.put(True)
        trees = [queue.get(timeout=30) for _ in range(n_processes)]
        seconds = time.perf_counter() - begin
        if line.strip() == "check":
            total = sum(sum(each["stamps"]["itr_num"].values()) for each in trees)
            print(len(trees), total, flush=True)
        else:
            print(seconds, flush=True)
    requests.put(False)
    child.join(timeout=30)


if __name__ == "__main__":
    main()
