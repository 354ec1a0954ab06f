"""Prints the attributes of some objects of an HDF5 file: object, name, type, value.

Usage: hdf5_attrs.py FILE
"""

import sys

import h5py
import numpy as np

with h5py.File(sys.argv[1], "r") as file:
    for path in ("/", "/outer/inner", "/data"):
        for name, value in file[path].attrs.items():
            if isinstance(value, np.ndarray):
                print(path, name, "ndarray", value.dtype, value.tolist())
            else:
                print(path, name, getattr(value, "dtype", type(value).__name__), value)
