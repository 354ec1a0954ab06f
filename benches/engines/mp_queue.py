"""Sends trees of times through multiprocessing.Queue, for benches/benches/shm.rs, which starts it.

Usage: mp_queue.py PROCESSES STAMPS

A child process holds PROCESSES trees of STAMPS stamps each, as dictionaries, which cost less to
pickle than gtimer's own objects. This says "ready"; then it answers each line on its standard input
with the seconds of wall clock from the asking to the last tree, the number of trees that came
through the queue, and the sum of their iterations.
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
    print("ready", flush=True)
    for _ in sys.stdin:
        begin = time.perf_counter()
        requests.put(True)
        trees = [queue.get(timeout=30) for _ in range(n_processes)]
        seconds = time.perf_counter() - begin
        total = sum(sum(each["stamps"]["itr_num"].values()) for each in trees)
        print(seconds, len(trees), total, flush=True)
    requests.put(False)
    child.join(timeout=30)


if __name__ == "__main__":
    main()
