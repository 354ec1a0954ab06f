"""Says what digital_rf and h5py find in the channels of a folder.

Usage: digital_rf_describe.py TOP OUT

Writes OUT.json, and the bytes of all samples to OUT.bin; the JSON says where each block is in it.
"""

import glob
import json
import os
import sys

import digital_rf
import h5py
import numpy as np


def plain(value):
    """A value as JSON can hold it."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, (np.floating, np.longdouble, float)):
        return repr(float(value))
    if isinstance(value, (np.integer, int)):
        return int(value)
    if isinstance(value, np.ndarray):
        return [plain(x) for x in value.tolist()]
    if isinstance(value, dict):
        return {key: plain(x) for key, x in value.items()}
    return str(value)


def attr_types(attrs):
    """Name of each attribute, with its type, shape, and padding of text."""
    types = {}
    for name in attrs:
        attr = attrs.get_id(name)
        kind = attr.get_type()
        text = None
        if isinstance(kind, h5py.h5t.TypeStringID):
            text = [kind.is_variable_str(), int(kind.get_cset()), int(kind.get_strpad())]
        # The texts themselves are compared elsewhere, where they have to be equal.
        types[name] = [text, list(attr.shape)] if text else [attr.dtype.str, list(attr.shape)]
    return types


def describe_file(path):
    with h5py.File(path, "r") as file:
        data, index = file["rf_data"], file["rf_data_index"]
        return {
            "name": os.path.join(os.path.basename(os.path.dirname(path)), os.path.basename(path)),
            "members": sorted(file), "root_attrs": sorted(file.attrs),
            "shape": list(data.shape), "maxshape": list(data.maxshape), "chunks": data.chunks,
            "compression": [data.compression, data.compression_opts, data.shuffle, data.fletcher32],
            "fill": data.fillvalue.tobytes().hex(),
            "index": index[...].tolist(), "index_type": index.dtype.str,
            "index_maxshape": list(index.maxshape), "index_chunks": index.chunks,
            "attrs": attr_types(data.attrs),
        }


def describe(reader, top, name, out):
    first, last = reader.get_bounds(name)
    blocks = []
    with h5py.File(glob.glob(os.path.join(top, name, "*", "rf@*"))[0], "r") as file:
        dtype = file["rf_data"].dtype
    for start, data in reader.read(first, last, name).items():
        blocks.append([int(start), len(data), out.tell()])
        # Numpy turns big-endian arrays into native ones when digital_rf joins them.
        out.write(np.ascontiguousarray(data, dtype=dtype).tobytes())
    start, n, _ = blocks[0]
    subchannel = reader.get_properties(name)["num_subchannels"] - 1
    vector = reader.read_vector_1d(start, n, name, subchannel).astype(np.complex128)
    at = out.tell()
    out.write(vector.tobytes())
    with h5py.File(os.path.join(top, name, "drf_properties.h5"), "r") as file:
        property_types = attr_types(file.attrs)
    return {
        "bounds": [int(first), int(last)], "blocks": blocks, "dtype": str(dtype),
        "spans": [[int(s), int(k)] for s, k in
                  reader.get_continuous_blocks(first, last, name).items()],
        "vector": [start, subchannel, n, at],
        "properties": plain(reader.get_properties(name)),
        "sample_properties": plain(reader.get_properties(name, sample=first)),
        "property_types": property_types,
        "files": [describe_file(p) for p in sorted(glob.glob(os.path.join(top, name, "*", "rf@*")))],
    }


def describe_metadata(path):
    reader = digital_rf.DigitalMetadataReader(path)
    first, last = reader.get_bounds()
    return {
        "bounds": [int(first), int(last)], "fields": reader.get_fields(),
        "samples": {str(k): plain(v) for k, v in reader.read(first, last).items()},
        "files": sorted(os.path.relpath(p, path)
                        for p in glob.glob(os.path.join(path, "*", "metadata@*.h5"))),
        "rate": [reader.get_sample_rate_numerator(), reader.get_sample_rate_denominator()],
    }


def main():
    top, out = sys.argv[1:]
    reader = digital_rf.DigitalRFReader(top)
    with open(out + ".bin", "wb") as file:
        channels = {name: describe(reader, top, name, file) for name in reader.get_channels()}
    metadata = describe_metadata(os.path.join(top, "metadata_only"))
    with open(out + ".json", "w", encoding="utf-8") as file:
        json.dump({"channels": channels, "metadata": metadata}, file)


main()
