#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Are the numbers of a table of tsnr those that numpy has for its runs, to four digits?

    tables.py TABLE DATASET      prints the number of runs with numbers, and of those without
"""

import csv
import os
import sys

import nibabel
import numpy as np
from pictures import head_of


def expected(path):
    bold = nibabel.load(path).get_fdata()
    with np.errstate(all="ignore"):
        mean, std = bold.mean(-1), bold.std(-1)
        tsnr = (mean / std).astype(np.float32).astype(np.float64)
    inside = tsnr[head_of(mean) & np.isfinite(tsnr)]
    return {
        "size_t": bold.shape[-1],
        "tsnr": np.median(inside),
        "tsnr_mean": inside.mean(),
        "tsnr_p05": np.percentile(inside, 5),
        "tsnr_p95": np.percentile(inside, 95),
        "tsnr_n": inside.size,
    }


def main():
    table, dataset = sys.argv[1:]
    with open(table, newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    ngood = 0
    for row in rows:
        if row["reason"] != "n/a":
            assert row["tsnr"] == row["tsnr_n"] == "n/a", row
            continue
        ngood += 1
        for column, value in expected(os.path.join(dataset, row["filename"])).items():
            text = f"{value:.0f}" if value >= 9999.5 else f"{value:.4g}"
            assert row[column] == text, (row, column, value)
    print(ngood, len(rows) - ngood)


main()
