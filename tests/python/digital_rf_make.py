"""Makes channels of every kind that digital_rf can write, small and from a fixed seed.

Usage: digital_rf_make.py TOP

Below TOP there is one folder per channel, and `made.json`: for each channel the arguments it was
made with and the blocks that were written. TOP/metadata_only holds Digital Metadata.
"""

import itertools
import json
import os
import sys

import digital_rf
import numpy as np

START_SECS = 1_618_229_740  # 2021-04-12T12:15:40Z
# Each rate with the length of its files: some ten thousand bytes per file.
RATES = {"int": (10_000, 1, 100), "seventh": (100_000, 7, 100), "333rd": (10_000_000, 333, 20)}


def values(rng, dtype, n, nsub, is_complex):
    """Random samples over the whole range of integers, or normal floats."""
    shape = (n, nsub * (2 if is_complex else 1))
    kind = np.dtype(dtype)
    if kind.kind == "f":
        flat = rng.standard_normal(shape).astype(kind)
    else:
        info = np.iinfo(kind)
        flat = rng.integers(info.min, info.max, shape, dtype=kind.newbyteorder("="), endpoint=True)
        flat = flat.astype(kind)
    if not is_complex:
        return flat
    return flat.view(np.dtype([("r", kind), ("i", kind)])).reshape(n, nsub)


def make(top, rng, name, dtype, is_complex, nsub, level, checksum, continuous, gapped, rate):
    num, den, file_ms = RATES[rate]
    path = os.path.join(top, name)
    os.mkdir(path)
    # In the middle of a file, so that neither end of the channel is at the end of one.
    start = START_SECS * num // den + num * file_ms // (den * 1000) // 3
    per_file = num * file_ms // (den * 1000)
    writer = digital_rf.DigitalRFWriter(
        path, np.dtype(dtype), 2, file_ms, start, num, den, uuid_str="0" * 32,
        compression_level=level, checksum=checksum, is_complex=is_complex,
        num_subchannels=nsub, is_continuous=continuous, marching_periods=False,
    )
    # Offsets and lengths of blocks: a gap in a file, one across files, one of a whole file.
    if gapped:
        blocks = [(0, per_file // 4), (per_file // 3, per_file), (3 * per_file + 5, per_file // 2)]
    else:
        blocks = [(0, 2 * per_file + per_file // 2)]
    for offset, n in blocks:
        writer.rf_write(values(rng, dtype, n, nsub, is_complex), offset)
    writer.close()
    return {
        "dtype": np.dtype(dtype).str, "is_complex": is_complex, "num_subchannels": nsub,
        "compression": level, "checksum": checksum, "is_continuous": continuous,
        "numerator": num, "denominator": den, "file_cadence_ms": file_ms,
        "subdir_cadence_secs": 2, "start": start,
        "blocks": [[start + offset, n] for offset, n in blocks],
    }


def main():
    top = sys.argv[1]
    rng = np.random.default_rng(20_210_412)
    made = {}

    def add(name, *args):
        made[name] = make(top, rng, name, *args)

    kinds = {"sc16": ("<i2", True), "fc32": ("<f4", True), "fc64": ("<f8", True),
             "s16": ("<i2", False)}
    for (kind, (dtype, is_complex)), nsub, level, checksum, continuous in itertools.product(
            kinds.items(), (1, 4), (0, 4), (False, True), (True, False)):
        name = f"{kind}-{nsub}-z{level}-{'sum' if checksum else 'nosum'}-" + (
            "cont" if continuous else "gap")
        add(name, dtype, is_complex, nsub, level, checksum, continuous, not continuous, "int")
    for rate, level, continuous in itertools.product(("seventh", "333rd"), (0, 4), (True, False)):
        name = f"rate-{rate}-z{level}-{'cont' if continuous else 'gap'}"
        add(name, "<i2", True, 1, level, False, continuous, not continuous, rate)
    # A gap in a recording that was asked to be continuous: fill values inside the files.
    for kind, (dtype, is_complex) in kinds.items():
        add(f"filled-{kind}", dtype, is_complex, 2, 0, False, True, True, "int")
    for dtype, is_complex in itertools.product(
            ("i1", "<i4", "<i8", "u1", "<u2", "<u4", "<u8", "<f4", "<f8"), (True, False)):
        name = f"type-{dtype.strip('<')}-{'complex' if is_complex else 'real'}"
        add(name, dtype, is_complex, 1, 0, False, True, True, "int")
        add(name + "-gap", dtype, is_complex, 1, 0, False, False, True, "int")
    for dtype, is_complex, level in itertools.product(
            (">i2", ">f4", ">f8"), (True, False), (0, 4)):
        name = f"big-{dtype.strip('>')}-{'complex' if is_complex else 'real'}-z{level}"
        add(name, dtype, is_complex, 2, level, False, level == 0, True, "int")

    metadata = os.path.join(top, "metadata_only")
    os.mkdir(metadata)
    writer = digital_rf.DigitalMetadataWriter(metadata, 3600, 60, 100_000, 7, "metadata")
    for k in range(40):
        sample = START_SECS * 100_000 // 7 + k * 100_000
        writer.write(sample, {
            "azimuth": 90.0 + k / 3, "elevation": 75.0 - k / 7, "count": k, "name": f"beam {k} µ",
            "nothing": None, "pair": np.array([k, -k]), "grid": np.full((2, 3), k / 9),
            "inner": {"deep": {"x": k * 1.5}, "y": -k},
        })
    with open(os.path.join(top, "made.json"), "w", encoding="utf-8") as file:
        json.dump(made, file)


main()
