"""Made the files beside this one, with h5py 3.16.0: `python make.py FOLDER`.

Every way of storing that h5py offers, in the format of HDF5 1.0 and in that of 1.10; `damaged.rs` damages
them, `hdf5.rs` compares what is read with the formulas here.

`gmf.h5` is the first file of `polychron analyze drf rx` in tests/data/gmf/dev2-i16-dec16-nipp5, with its
`cfg.ini` but for max_range_gate=5000, min_acceleration=-100, max_acceleration=100 and
num_cohints_per_file=2. Only `damaged.rs` uses it, so that it need not be made anew when the layout grows.
"""

import sys
from pathlib import Path

import h5py
import numpy as np


def make(path, libver):
    k = np.arange(600)
    mixed = (k * k % 1009).astype(np.int16)
    with h5py.File(path, "w", libver=libver) as f:
        f.attrs["scale"] = 2.5
        f.attrs["note"] = "text"
        f["contiguous"] = mixed
        f.create_dataset("chunked", data=mixed.reshape(30, 20), chunks=(7, 6))
        f.create_dataset(
            "filtered", data=mixed.reshape(30, 20), chunks=(16, 20),
            compression="gzip", shuffle=True, fletcher32=True,
        )
        grows = f.create_dataset(
            "grows", shape=(10,), maxshape=(None,), dtype="f4", chunks=(4,), fillvalue=-1.5
        )
        grows[:5] = k[:5]
        grows.resize((50,))
        f.create_dataset("lzf", data=mixed, chunks=(100,), compression="lzf")
        # 4 MB, of which one chunk of 400 bytes was written.
        sparse = f.create_dataset(
            "group/sparse", shape=(10_000, 100), dtype="i4", chunks=(10, 10), fillvalue=7
        )
        sparse[5000:5010, 20:30] = np.arange(100).reshape(10, 10)
        f["record"] = np.array([(1, 2.5, b"ab")], dtype=[("a", "i4"), ("b", "f8"), ("c", "S4")])
        f.create_dataset("texts", data=["one", "two", "three"], dtype=h5py.string_dtype())
        f.create_dataset("never", shape=(5,), dtype="f8")


def main():
    folder = Path(sys.argv[1])
    make(folder / "earliest.h5", "earliest")
    make(folder / "v110.h5", ("v110", "v110"))
    with h5py.File(folder / "silence.h5", "w") as f:
        f.create_dataset("zeros", data=np.zeros(1 << 20, np.int16), compression="gzip", chunks=True)
        f.create_dataset("one", data=np.zeros(1 << 20, np.int8), compression="gzip", chunks=(1 << 20,))


if __name__ == "__main__":
    main()
