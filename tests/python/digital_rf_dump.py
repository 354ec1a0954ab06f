"""Reads whole channels with digital_rf: `digital_rf_dump.py OUT TOP CHANNEL [TOP CHANNEL ...]`.

Appends the samples of each to OUT as complex128, and prints a line for each: first sample, last
sample, number of continuous blocks, dtype.
"""

import sys

import digital_rf
import numpy as np


def main():
    out, *pairs = sys.argv[1:]
    with open(out, "wb") as file:
        for top, channel in zip(pairs[::2], pairs[1::2]):
            reader = digital_rf.DigitalRFReader(top)
            first, last = reader.get_bounds(channel)
            blocks = reader.read(first, last, channel)
            samples = reader.read_vector_1d(first, last - first + 1, channel)
            samples.astype(np.complex128).tofile(file)
            print(first, last, len(blocks), next(iter(blocks.values())).dtype.kind)


if __name__ == "__main__":
    main()
