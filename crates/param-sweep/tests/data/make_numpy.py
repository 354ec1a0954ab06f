"""Writes numpy.json: what numpy.linspace, numpy.geomspace and numpy.meshgrid give, in full digits."""

import json

import numpy as np

SPACES = [
    ("linear", 0.0, 10.0, 11),
    ("linear", -1.0, 1.0, 7),
    ("linear", 0.1, 0.7, 13),
    ("linear", 3.0, -2.0, 6),
    ("linear", 0.0, 5e-324, 5),
    ("linear", 1.0, 1.0, 1),
    ("linear", 1e300, -1e300 / 3, 9),
    ("geom", 1e-3, 1e3, 7),
    ("geom", 1.0, 1000.0, 4),
    ("geom", 2.0, 2048.0, 11),
    ("geom", -1.0, -100.0, 5),
    ("geom", 0.3, 7.0, 17),
    ("geom", 1e-300, 1e300, 13),
    ("geom", 100.0, 1.0, 5),
]

spaces = []
for kind, a, b, n in SPACES:
    values = {"linear": np.linspace, "geom": np.geomspace}[kind](a, b, n)
    spaces.append((kind, a, b, n, values))
    if kind == "geom":
        spaces.append(("rgeom", a, b, n, ((a + b) - values)[::-1]))

axes = [np.linspace(0, 1, 2), np.geomspace(1, 100, 3), np.array([5.0, 7.0])]
grid = np.stack([m.ravel() for m in np.meshgrid(*axes, indexing="ij")], axis=1)

print(json.dumps({
    "numpy": np.__version__,
    "spaces": [
        {"kind": kind, "from": a, "to": b, "n": n, "values": [repr(float(x)) for x in values]}
        for kind, a, b, n, values in spaces
    ],
    "grid": [[repr(float(x)) for x in row] for row in grid],
}, indent=1))
