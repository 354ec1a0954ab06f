"""hardtarget's searches of the grid, in turns, for the study `gmf`.

Usage: hardtarget_gmf.py c|numpy|numpy-fdpt [LIBRARY HOW-IT-WAS-MADE]

Answers lines with lines:

    load DIR      reads params.ini, tx.c8 and rx.c8 of a search                    loaded
    run           searches once                          seconds of the thread, of the clock, digest
    answer FILE   writes what was found last: values, zero-frequency terms, indices         written

With LIBRARY, another compilation of the same C is called.
"""

import configparser
import ctypes
import pathlib
import re
import sys
import sysconfig
import time
import zlib

import numpy as np

try:
    import hardtarget.gmf.gmf_c as gmf_c
    import hardtarget.gmf.gmf_numpy as gmf_numpy
    import scipy
    from hardtarget.analysis.utils import GMFVariables
    from hardtarget.configuration import DEFAULT_PARAMS, compute_derived_gmf_params
    from hardtarget.version import __version__
except ImportError as error:
    print(error, flush=True)
    sys.exit()


def compiler(library):
    """The compiler that a library says it was made by."""
    found = re.search(rb"GCC: \([^)]*\) [\d.]+", pathlib.Path(library).read_bytes())
    return found.group().decode().removeprefix("GCC: ") if found else "not told"


def fftw():
    version = ctypes.c_char.in_dll(ctypes.CDLL("libfftw3f.so.3"), "fftwf_version")
    return ctypes.string_at(ctypes.addressof(version)).decode()


def chosen(name, library, how):
    """The function, whether it has the phasors of all accelerations, and how it was made."""
    release = f"hardtarget {__version__}"
    if name != "c":
        made = f"{release}, numpy {np.__version__}, scipy {scipy.__version__}, as pip has them"
        dpt = name == "numpy-fdpt"
        return gmf_numpy.fast_dpt_np if dpt else gmf_numpy.fast_gmf_np, dpt, made
    if library is None:
        # What setuptools compiles with where a package asks for nothing else.
        flags = " ".join(f for f in sysconfig.get_config_var("CFLAGS").split() if "/" not in f)
        gcc = f"gcc {compiler(gmf_c.__libpath__)}"
        return gmf_c.fast_gmf_c, False, f"{release}, as pip builds it: {gcc}, `{flags}`; {fftw()}"
    native = ctypes.cdll.LoadLibrary(library)
    native.gmf.restype = gmf_c.gmfclib.gmf.restype
    native.gmf.argtypes = gmf_c.gmfclib.gmf.argtypes
    gmf_c.gmfclib = native
    return gmf_c.fast_gmf_c, False, f"{release}: {how}, gcc {compiler(library)}; {fftw()}"


def read_params(text):
    """The parameters of a search, by hardtarget's own derivation."""
    config = configparser.ConfigParser()
    config.read_string(text)
    experiment = {key: float(value) for key, value in config["Experiment"].items()}
    processing = {key: value for key, (value, _) in DEFAULT_PARAMS.items()}
    for key, value in config["signal-processing"].items():
        processing[key] = DEFAULT_PARAMS[key][1](value)
    exp, pro, der = compute_derived_gmf_params(experiment, processing)
    return dict(EXP=exp, PRO=pro, DER=der)


class Search:
    def __init__(self, function, needs_all):
        self.function = function
        self.needs_all = needs_all
        self.text = None

    def load(self, folder):
        folder = pathlib.Path(folder)
        text = (folder / "params.ini").read_text()
        if text != self.text:
            self.text = text
            self.params = read_params(text)
            if not self.needs_all:
                # Hundreds of megabytes.
                self.params["DER"].pop("acceleration_phasors")
        self.tx = np.fromfile(folder / "tx.c8", "<c8")
        self.rx = np.fromfile(folder / "rx.c8", "<c8")

    def run(self):
        n = self.params["PRO"]["n_ranges"]
        found = GMFVariables(
            np.zeros(n, np.float32), np.zeros(n, np.float32),
            np.full(n, -1, np.int32), np.full(n, -1, np.int32), 1.0,
        )
        clock, thread = time.perf_counter(), time.thread_time()
        self.function(self.tx, self.rx, found, self.params)
        thread, clock = time.thread_time() - thread, time.perf_counter() - clock
        self.found = b"".join(array.tobytes() for array in found[:4])
        return f"{thread:.9f} {clock:.9f} {zlib.crc32(self.found)}"


def main():
    name, library, how = (sys.argv[1:] + [None, None])[:3]
    function, needs_all, made = chosen(name, library, how)
    search = Search(function, needs_all)
    print(f"ready {made}", flush=True)
    for line in sys.stdin:
        what, _, rest = line.strip().partition(" ")
        try:
            if what == "load":
                search.load(rest)
                answer = "loaded"
            elif what == "run":
                answer = search.run()
            elif what == "answer":
                pathlib.Path(rest).write_bytes(search.found)
                answer = "written"
            else:
                answer = f"error no such thing: {what}"
        except Exception as error:
            answer = f"error {type(error).__name__}: {error}"
        print(answer.replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
