"""Prints the dimensions of a dataset as JSON: label, names of scales, values of the first scale.

Usage: hdf5_dims.py FILE DATASET

Fails when a scale is not marked as one, or does not refer back to what it is attached to.
"""

import json
import sys

import h5py

with h5py.File(sys.argv[1], "r") as file:
    data = file[sys.argv[2]]
    dims = []
    for axis, dim in enumerate(data.dims):
        for scale in dim.values():
            assert h5py.h5ds.is_scale(scale.id), scale
            assert h5py.h5ds.is_attached(data.id, scale.id, axis), scale
        values = dim[0][...].tolist() if len(dim) else []
        dims.append([dim.label, dim.keys(), [float(x) for x in values]])
    # Everything else is still readable.
    file.visititems(lambda _, item: item[...] if isinstance(item, h5py.Dataset) else None)
    print(json.dumps(dims))
