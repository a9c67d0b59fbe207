# SPDX-License-Identifier: MIT
"""Rows on recipes other than tsnr: first reads of the session's runs joined."""

from computing import INFLATE_ALL, arrays, cold, func_of, warm_up
from harness import CPUS, Row, peak_of, timed

RECIPES = """
[median]
expr = median(bold)
[deviation]
expr = median(abs(bold - median(bold)))
[trend]
expr = mean(detrend(bold, 2)) / std(detrend(bold, 2))
"""

LIMITS = {  # formula: largest ratio to inflating
    "median": 2.0,
    "deviation": 5.0,
    "trend": 1.3,
}


def formulas(bench, data):
    dataset = data.session()
    func = func_of(dataset)
    warm_up(func)
    recipes = f"{bench.work}/formulas.ini"
    with open(recipes, "w") as file:
        file.write(RECIPES)
    return [row for name in LIMITS for row in of_formula(bench, dataset, recipes, name)]


def of_formula(bench, dataset, recipes, name):
    func, peaks = func_of(dataset), []
    programs = {engine: arrays(bench, engine, name, func) for engine in ("dask", "numpy")}
    s = bench.contest(
        derivfs=lambda: cold(bench, dataset, f"{name}.nii", f"--recipes={recipes}", peaks=peaks),
        igzip=lambda: timed(INFLATE_ALL, func),
        **{engine: lambda p=program: timed(p, func) for engine, program in programs.items()},
    )
    work = f"first `{name}.nii` of the session"
    inflating = f"`igzip -dc` of the runs, {CPUS} at once"
    rows = [Row(work, inflating, s["derivfs"], s["igzip"], at_most=LIMITS[name])]
    rows += [Row("the same", f"{e} program", s["derivfs"], s[e], at_most=0.5) for e in programs]
    of_others = ", ".join(f"{e}: {peak_of(p, func):.0f} MiB" for e, p in programs.items())
    return [*rows, Row("peak memory for it", of_others, peaks, unit="MiB", at_most=256)]
