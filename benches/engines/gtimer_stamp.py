"""What gtimer's own operations cost, one per line: name, tab, nanoseconds (the median of blocks)."""

import statistics
import sys
import time

try:
    import gtimer as gt
except ImportError as error:
    sys.exit(f"{error}")

BLOCK = 1000
BLOCKS = 50


@gt.wrap
def empty():
    pass


def stamps():
    for _ in range(BLOCK):
        gt.stamp("a", unique=False)


def loop_stamps():
    for _ in gt.timed_for(range(BLOCK), save_itrs=False):
        gt.stamp("a")


def calls():
    for _ in range(BLOCK):
        empty()


for name, work in [
    ("gtimer stamp", stamps),
    ("gtimer stamp in a loop", loop_stamps),
    ("gtimer wrapped call", calls),
]:
    costs = []
    for _ in range(BLOCKS):
        gt.reset_root()
        start = time.perf_counter_ns()
        work()
        costs.append((time.perf_counter_ns() - start) / BLOCK)
    print(f"{name}\t{statistics.median(costs)}")
