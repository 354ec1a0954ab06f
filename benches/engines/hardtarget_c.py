"""Times hardtarget's C kernel on the searches of benches/benches/gmf.rs, in thread CPU time.

The first call of each search also plans its transform (FFTW_MEASURE); it is printed apart.
"""

import statistics
import sys
import time

import numpy as np
from hardtarget.analysis.utils import GMFVariables
from hardtarget.configuration import DEFAULT_PARAMS, compute_derived_gmf_params
from hardtarget.gmf.gmf_c import fast_gmf_c


def search(decimation):
    experiment = dict(
        sample_rate=1_000_000, ipp=20_000, rx_start=0.0, rx_end=20_000.0,
        tx_start=82.0, tx_end=2002.0, radar_frequency=929.6,
    )
    processing = {key: value for key, (value, _) in DEFAULT_PARAMS.items()}
    processing.update(
        n_ipp=10, frequency_decimation=decimation, min_range_gate=6000, max_range_gate=6480,
        min_acceleration=-300.0, max_acceleration=300.0,
    )
    exp, pro, der = compute_derived_gmf_params(experiment, processing)
    return dict(EXP=exp, PRO=pro, DER=der)


def run(params, repeats):
    rng = np.random.default_rng(1)
    length = params["PRO"]["read_length"]
    samples = (rng.uniform(-1, 1, length) + 1j * rng.uniform(-1, 1, length)).astype(np.complex64)
    tx = samples[params["DER"]["tx_stencil"]]
    rx = samples[params["DER"]["rx_stencil"]].copy()
    tx = (np.conj(tx) / np.sqrt(np.sum(np.abs(tx) ** 2))).astype(np.complex64)
    n = params["PRO"]["n_ranges"]
    seconds = []
    for _ in range(repeats + 1):
        variables = GMFVariables(
            np.zeros(n, np.float32), np.zeros(n, np.float32),
            np.full(n, -1, np.int32), np.full(n, -1, np.int32), 1.0,
        )
        start = time.thread_time()
        fast_gmf_c(tx, rx, variables, params)
        seconds.append(time.thread_time() - start)
    return seconds[0], seconds[1:]


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for decimation in (10, 16):
        params = search(decimation)
        first, later = run(params, repeats)
        points = params["PRO"]["decimated_read_length"]
        print(
            f"hardtarget-c/{points}: median {statistics.median(later):.4f} s, "
            f"least {min(later):.4f} s, first {first:.4f} s"
        )


if __name__ == "__main__":
    main()
