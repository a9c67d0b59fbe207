#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Recipes against numpy: make random ones, and compare the images of a recipes file with what numpy
makes of the same text.

    expressions.py make NUMBER SEED > recipes.ini
    expressions.py check recipes.ini DIR RUN...

`check` reads DIR/NAME.nii for each recipe NAME. Every voxel must agree within float32 rounding, and
be NaN or infinite where numpy's result is.

No random expression is ill-conditioned: exp(), log() and powers, which differ in the last bit
between libraries, are taken of a statistic and not compared with anything. Where the statistics
themselves are exact (few bits, numbers of volumes that are powers of two), rounding can therefore
neither turn a comparison nor be all that is left of a difference.
"""

import configparser
import random
import sys
import textwrap
import warnings

import nibabel
import numpy as np

from reference import check_voxels, load_run

STATISTICS = ["mean(bold)", "std(bold)", "var(bold)", "sum(bold)", "min(bold)", "max(bold)"]
STATISTICS += ["std(bold, ddof=1)", "var(bold, ddof=1)", "std(bold, ddof=3)"]


def number(rng):
    return rng.choice(["0.0", "0.5", "1.0", "2.0", "3.25", "7.0", "90.0", "1e3", "0.125"])


def function_of_statistic(rng):
    statistic = rng.choice(STATISTICS)
    return rng.choice(
        [
            f"exp({statistic} / 64)",
            f"log({statistic})",
            f"log(abs({statistic}) + 1)",
            f"{statistic} ** {rng.choice(['2', '0.5', '-1', '3', '1.5', '(-0.5)', '0'])}",
            f"{statistic} ** -{rng.choice(['2.0', '0.5'])}",
        ]
    )


def mask(rng, depth):
    if rng.random() < 0.2:
        return f"isfinite({image(rng, depth - 1, True)})"
    comparison = rng.choice(["<", "<=", ">", ">=", "==", "!="])
    other = number(rng) if rng.random() < 0.6 else image(rng, depth - 1, True)
    return f"{image(rng, depth - 1, True)} {comparison} {other}"


def image(rng, depth, exact):
    """An expression; `exact`: the same to the bit in every library."""
    if depth <= 0 or rng.random() < 0.15:
        return rng.choice(STATISTICS) if exact or rng.random() < 0.7 else function_of_statistic(rng)
    operand = image(rng, depth - 1, exact)
    match rng.randrange(8):
        case 0:
            return f"-({operand})" if operand[0] in "(-" else f"-{operand}"
        case 1:
            return f"{rng.choice(['abs', 'sqrt', 'nan_to_num'])}({operand})"
        case 2:
            return f"where({mask(rng, depth)}, {operand}, {image(rng, depth - 1, exact)})"
        case 3:
            return f"({mask(rng, depth)}) * {number(rng)}"
        case 4:
            return f"{number(rng)} {rng.choice('+-*/')} ({operand})"
        case _:
            other = number(rng) if rng.random() < 0.3 else image(rng, depth - 1, exact)
            return f"({operand} {rng.choice('+-*/')} {other})"


def make(count, seed):
    rng = random.Random(seed)
    for i in range(count):
        expression = image(rng, rng.randint(1, 6), False)
        # a line of a recipes file holds less than 200 bytes and goes on in the next one, indented
        lines = textwrap.wrap(expression, 120, subsequent_indent="    ", break_long_words=False)
        print(f"[e{i}]\nexpr =", "\n".join(lines), "\n")


def statistics(joined):
    """The names of an expression. What is equal in all volumes has exactly that mean, and no
    deviation; numpy's sums may say otherwise in the last bit."""
    constant = np.isfinite(joined[..., 0]) & (joined == joined[..., :1]).all(axis=-1)

    def over_time(function, of_constant):
        def statistic(bold, **options):
            result = function(bold, axis=-1, **options)
            result[constant] = of_constant(joined[constant, 0])
            return result

        return statistic

    return {
        "bold": joined,
        "mean": over_time(np.mean, lambda value: value),
        "std": over_time(np.std, np.zeros_like),
        "var": over_time(np.var, np.zeros_like),
        "sum": over_time(np.sum, lambda value: value * joined.shape[-1]),
        "min": over_time(np.min, lambda value: value),
        "max": over_time(np.max, lambda value: value),
        **{name: getattr(np, name) for name in "abs sqrt exp log where isfinite".split()},
        "nan_to_num": np.nan_to_num,
    }


class Names(dict):
    """What an expression may name: the statistics' functions and, by name alone, other recipes."""

    def __init__(self, joined, recipes):
        super().__init__(statistics(joined))
        self.recipes = {"tsnr": "mean(bold) / std(bold)", **recipes}

    def __missing__(self, name):
        return self.value(self.recipes[name])

    def value(self, expression):
        return eval(expression.replace("\n", " "), {"__builtins__": {}}, self)


def check(path, directory, runs):
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=";")
    with open(path) as file:
        parser.read_file(file)
    recipes = {name: parser[name]["expr"] for name in parser.sections()}
    names = Names(np.concatenate([load_run(run) for run in runs], -1), recipes)
    faults = 0
    for name, expression in recipes.items():
        expected = np.asarray(names.value(expression), "f8")
        derived = np.asarray(nibabel.load(f"{directory}/{name}.nii").dataobj)
        for fault in check_voxels(derived, expected):
            print(f"{name} = {expression}: {fault}", file=sys.stderr)
            faults += 1
    return 0 if recipes and not faults else 1


def main():
    verb, *arguments = sys.argv[1:]
    if verb == "make":
        return make(int(arguments[0]), int(arguments[1]))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # too few degrees of freedom: NaN or inf
        return check(arguments[0], arguments[1], arguments[2:])


if __name__ == "__main__":
    sys.exit(main())
