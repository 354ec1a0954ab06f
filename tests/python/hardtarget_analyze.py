"""Runs hardtarget's analysis: `hardtarget_analyze.py RUNS.json`, a list of compute_gmf arguments.

Prints one line for each run: the number of files that it wrote.
"""

import json
import sys

from hardtarget.analysis import compute_gmf


def main():
    with open(sys.argv[1]) as file:
        runs = json.load(file)
    for run in runs:
        results = compute_gmf(
            (run["rx"], run["rx_channel"]),
            (run["tx"], run["tx_channel"]),
            config=run["config"],
            output=run["output"],
            gmf_method=run["method"],
            gmf_implementation=run["implementation"],
        )
        print(len(results["files"]))


if __name__ == "__main__":
    main()
