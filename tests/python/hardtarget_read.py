"""Reads a folder of results as hardtarget does: `hardtarget_read.py FOLDER OUT [plot]`.

Writes OUT/data.json (what `load_gmf_out` gives) and OUT/inspect.txt (what `hardtarget inspect gmf`
prints), and with `plot`, where there is matplotlib, what hardtarget plots: OUT/peaks.png,
OUT/detections.png, OUT/map.png. Prints "plotted", or why not.
"""

import contextlib
import importlib.util
import io
import json
import sys
import types
from pathlib import Path

import numpy as np

from hardtarget.analysis import load_gmf_out


def plain(value):
    """Values as JSON has them: NaN and infinities, which it has not, as null."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, (np.generic, float)):
        value = value.item() if isinstance(value, np.generic) else value
        return value if not isinstance(value, float) or np.isfinite(value) else None
    return value


def plot(data, meta, out):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from hardtarget.plotting import gmf

    figure, axes = plt.subplots(2, 2)
    gmf.plot_peaks(axes, data, meta)
    figure.savefig(out / "peaks.png")
    figure, axes = plt.subplots(2, 3)
    gmf.plot_detections(axes, data, meta)
    figure.savefig(out / "detections.png")
    figure, axes = plt.subplots(3, 1)
    gmf.plot_map(axes, data, meta)
    figure.savefig(out / "map.png")


def main():
    folder, out = sys.argv[1], Path(sys.argv[2])
    chunks = list(load_gmf_out(folder))
    assert len(chunks) == 1, len(chunks)
    data, meta = chunks[0]
    with open(out / "data.json", "w") as file:
        json.dump({"data": plain(data), "meta": plain(meta)}, file)

    from hardtarget.cli import inspect_gmf

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        inspect_gmf.main(types.SimpleNamespace(path=folder))
    (out / "inspect.txt").write_text(printed.getvalue())

    if sys.argv[3:] != ["plot"]:
        print("only read")
    elif importlib.util.find_spec("matplotlib") is None:
        print("no matplotlib")
    else:
        plot(data, meta, out)
        print("plotted")


if __name__ == "__main__":
    main()
