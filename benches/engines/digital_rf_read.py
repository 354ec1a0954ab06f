"""Times digital_rf's read_vector on the products of benches/benches/drf.rs, which starts it.

Usage: digital_rf_read.py FOLDER CHANNEL START COUNT LENGTH

It reads COUNT vectors of LENGTH samples from START on, one after the other: for a line "check" on
its standard input it answers with the sum of their real and the sum of their imaginary parts, by
which the caller knows that both read the same; for a line "time N" with the seconds of wall clock
that reading them N times took.
"""

import sys
import time

import digital_rf
import numpy as np


def main():
    folder, channel = sys.argv[1:3]
    start, count, length = (int(arg) for arg in sys.argv[3:])
    reader = digital_rf.DigitalRFReader(folder)

    def read(k):
        return reader.read_vector(start + k * length, length, channel)

    for line in sys.stdin:
        if line.strip() == "check":
            total = sum(read(k).sum(dtype=np.complex128) for k in range(count))
            print(int(total.real), int(total.imag), flush=True)
        else:
            begin = time.perf_counter()
            for _ in range(int(line.split()[1])):
                for k in range(count):
                    read(k)
            print(time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main()
