#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Recipes against numpy: make random ones, and compare the images of a recipes file with what numpy
makes of the same text.

    expressions.py make NUMBER SEED [whole] > recipes.ini
    expressions.py check recipes.ini PATTERN RUN...

`make` makes expressions over the statistics of bold; with `whole` over everything that the language
has, images and series. `check` reads the file PATTERN for each recipe, with {} in it for its name.

Every expression is evaluated twice, in float64 and with 80 bits. What is derived must agree within
float32 rounding and a thousand times what the two differ by, which is what rounding alone can do
to a value; be NaN or infinite where both are; and, as a comparison may go either way where its sides
differ by rounding, is not looked at where the two disagree altogether. Of all voxels that may be one
in a hundred. Ties of whole numbers are exact in both, and so looked at.
"""

import configparser
import operator
import random
import sys
import textwrap
import warnings

import nibabel
import numpy as np

from pictures import head_of
from reference import load_run

STATISTICS = ["mean(bold)", "std(bold)", "var(bold)", "sum(bold)", "min(bold)", "max(bold)"]
STATISTICS += ["std(bold, ddof=1)", "var(bold, ddof=1)", "std(bold, ddof=3)"]
REDUCTIONS = ["mean", "std", "var", "sum", "min", "max", "median"]
PERCENTS = ["0", "2.5", "25", "33.3", "50", "75", "90", "100"]
# Of any run of eight volumes and more something is left by two of these.
VIEWS = ["{}[..., 1:]", "{}[..., :-2]", "{}[..., 1:-1]", "{}[..., -7:]", "{}[..., :6]", "{}[..., :]"]
VIEWS += ["drop({}, 1)", "drop({}, 2)", "{}[..., 1:] - {}[..., :-1]", "concat({}, {}[..., :3])"]
VIEWS += ["concat({}[..., -4:], {}, {}[..., 1:4])"]


def number(rng):
    return rng.choice(["0.0", "0.5", "1.0", "2.0", "3.25", "7.0", "90.0", "1e3", "0.125"])


def function_of(rng, operand):
    return rng.choice(
        [
            f"exp({operand} / 64)",
            f"log({operand})",
            f"log(abs({operand}) + 1)",
            f"{operand} ** {rng.choice(['2', '0.5', '-1', '3', '1.5', '(-0.5)', '0'])}",
            f"{operand} ** -{rng.choice(['2.0', '0.5'])}",
        ]
    )


class Maker:
    """Makes images and series; `whole`: of the whole language."""

    def __init__(self, rng, whole):
        self.rng = rng
        self.whole = whole
        self.percents = random.Random(1)  # which leaves `rng` as it is without percentiles

    def tame(self, operand):
        """What is left of a difference may be rounding alone, whose sign nobody knows."""
        return f"(abs({operand}) + 0.5)" if self.whole else operand

    def base(self):
        """A view of bold: series can be combined only with series of the same length."""
        base = "bold"
        for _ in range(self.rng.choice([0, 0, 1, 1, 2])):
            view = self.rng.choice(VIEWS)
            base = view.replace("{}", base)
            if " - " in base:
                base = f"({base})"
        return base

    def reduced(self, depth):
        if not self.whole or self.rng.random() < 0.2:
            return self.rng.choice(STATISTICS)
        series = self.series(min(depth, 3), self.base())
        if self.rng.random() < 0.15:
            return f"({series})[..., {self.rng.choice(['0', '2', '-1', '-3', '1'])}]"
        if self.rng.random() < 0.15:
            return f"{self.rng.choice(['std', 'var'])}({series}, ddof={self.rng.randrange(1, 4)})"
        reduction = self.rng.choice(REDUCTIONS)
        if reduction == "median" and self.percents.random() < 0.7:
            return f"percentile({series}, {self.percents.choice(PERCENTS)})"
        return f"{reduction}({series})"

    def mask(self, depth, operand):
        """`operand` makes one more of the same kind."""
        if self.rng.random() < 0.2:
            return f"isfinite({operand(depth - 1)})"
        comparison = self.rng.choice(["<", "<=", ">", ">=", "==", "!="])
        other = number(self.rng) if self.rng.random() < 0.6 else operand(depth - 1)
        return f"({operand(depth - 1)}) {comparison} ({other})"

    def combined(self, depth, operand, functions=("abs", "sqrt", "nan_to_num")):
        rng = self.rng
        one = operand(depth - 1)
        match rng.randrange(8):
            case 0:
                return f"-({one})"
            case 1:
                function = rng.choice(functions)
                return f"{function}({self.tame(one) if function == 'sqrt' else one})"
            case 2:
                return f"where({self.mask(depth, operand)}, {one}, {operand(depth - 1)})"
            case 3:
                return f"({self.mask(depth, operand)}) * {number(rng)}"
            case 4:
                return f"{number(rng)} {rng.choice('+-*/')} ({one})"
            case _:
                other = number(rng) if rng.random() < 0.3 else operand(depth - 1)
                return f"({one} {rng.choice('+-*/')} {other})"

    def image(self, depth):
        if depth <= 0 or self.rng.random() < 0.15:
            reduced = self.reduced(depth)
            return reduced if self.rng.random() < 0.7 else function_of(self.rng, self.tame(reduced))
        return self.combined(depth, self.image)

    def series(self, depth, base):
        """Of the length of `base`."""
        rng = self.rng
        if depth <= 0 or rng.random() < 0.2:
            return base
        match rng.randrange(7):
            case 0:
                return f"detrend({self.series(depth - 1, base)}, {rng.randrange(4)})"
            case 1:
                return f"{rng.choice(['demean', 'zscore'])}({self.series(depth - 1, base)})"
            case 2:
                image = rng.choice(["mean", "std", "max", "median"]) + f"({base})"
                return f"({self.series(depth - 1, base)} {rng.choice('+-*/')} {image})"
            case 3:  # ties of whole numbers
                return f"where({base} {rng.choice(['<', '>=', '==', '>'])} mean({base}), {base}, 0)"
            case 4:
                return function_of(rng, self.tame(self.series(depth - 1, base)))
            case _:
                # no nan_to_num: sums of the largest numbers are not worth comparing
                return self.combined(
                    depth, lambda below: self.series(below, base), ("abs", "sqrt")
                )


def make(count, seed, whole):
    rng = random.Random(seed)
    maker = Maker(rng, whole)
    for i in range(count):
        if whole and rng.random() < 0.4:
            expression = maker.series(rng.randint(1, 4), maker.base())
        else:
            expression = maker.image(rng.randint(1, 4 if whole else 6))
        # a line of a recipes file holds less than 200 bytes and goes on in the next one, indented
        lines = textwrap.wrap(expression, 120, subsequent_indent="    ", break_long_words=False)
        print(f"[e{i}]\nexpr =", "\n".join(lines), "\n")


def refine(a, b):
    """Lengths of stretches, cut wherever either is cut."""
    return np.diff(np.unique(np.concatenate([[0], np.cumsum(a), np.cumsum(b)]))).tolist()


class Series:
    """Values over time, and the lengths of the stretches that lie within one run."""

    __array_ufunc__ = None  # numpy's arrays leave operators with a series to this class

    def __init__(self, values, cuts):
        assert sum(cuts) == values.shape[-1] > 0
        self.values = values
        self.cuts = cuts

    def __getitem__(self, index):
        values = self.values[index]
        if values.ndim < self.values.ndim:
            return values
        of_cut = np.repeat(np.arange(len(self.cuts)), self.cuts)[index[-1]]
        return Series(values, np.unique(of_cut, return_counts=True)[1].tolist())

    def segments(self):
        return np.split(self.values, np.cumsum(self.cuts)[:-1], axis=-1)

    def each(self, function):
        parts = [function(part) for part in self.segments()]
        parts = [part for part in parts if part.shape[-1] > 0]
        return Series(np.concatenate(parts, axis=-1), [part.shape[-1] for part in parts])


def elementwise(function):
    """An image with a series means the image at each volume."""

    def apply(*arguments):
        series = [a for a in arguments if isinstance(a, Series)]
        if not series:
            return function(*arguments)
        cuts = series[0].cuts
        for other in series[1:]:
            cuts = refine(cuts, other.cuts)
        values = [
            a.values if isinstance(a, Series) else a[..., None] if np.ndim(a) else a
            for a in arguments
        ]
        return Series(function(*values), cuts)

    return apply


for _name in "neg add sub mul truediv pow lt le gt ge eq ne".split():
    _function = elementwise(getattr(operator, _name))
    setattr(Series, f"__{_name}__", _function)
    setattr(Series, f"__r{_name}__", lambda a, b, function=_function: function(b, a))


def over_time(function, of_constant=None):
    """What is equal in all volumes has exactly that mean, and no deviation; numpy's sums may say
    otherwise in the last bit."""

    def statistic(series, **options):
        values = series.values
        values = values * 1.0 if values.dtype == bool else values
        result = np.array(function(values, axis=-1, **options))
        if of_constant:
            constant = np.isfinite(values[..., 0]) & (values == values[..., :1]).all(axis=-1)
            constant &= values.shape[-1] > options.get("ddof", 0)
            result[constant] = of_constant(values[constant, 0])
        return result

    return statistic


mean = over_time(np.mean, lambda value: value)
std = over_time(np.std, np.zeros_like)


def percentile(values, q, axis):
    """numpy's, but half way between two values its median, which adds where this subtracts; so too
    of infinite values, of whose differences numpy makes NaN."""
    if q == 50:
        return np.median(values, axis=axis)
    result = np.percentile(values, q, axis=axis)
    infinite = np.isinf(values).any(axis=axis) & ~np.isnan(values).any(axis=axis)
    ordered = np.sort(values[infinite], axis=-1)
    at = q / 100 * (values.shape[-1] - 1)
    low, high = ordered[..., int(np.floor(at))], ordered[..., int(np.ceil(at))]
    between = low + (high - low) * (at - np.floor(at))
    unbounded = np.isinf(low) | np.isinf(high)
    result[infinite] = np.where(unbounded, low + high, between)
    return result


def trend(values, order):
    """The Legendre polynomials of order 1 and more of a least-squares fit, which nothing that is
    not finite has."""
    nvol = values.shape[-1]
    order = min(order, nvol - 1)
    if order == 0:
        return np.zeros_like(values)
    vander = np.polynomial.legendre.legvander(np.linspace(-1, 1, nvol, dtype=values.dtype), order)
    values = np.where(np.isfinite(values).all(axis=-1, keepdims=True), values, np.nan)
    start = values[..., :1]
    if values.dtype == np.float64:
        inverse = np.linalg.pinv(vander)
    else:  # which linalg does not know: refine what it says of float64
        inverse = np.linalg.pinv(vander.astype("f8")).astype(values.dtype)
        for _ in range(3):
            inverse = 2 * inverse - inverse @ vander @ inverse
    return (values - start) @ inverse[1:].T @ vander[:, 1:].T


def detrend(series, order):
    return series.each(lambda part: part * 1.0 - trend(part * 1.0, order))


def demean(series):
    return series.each(lambda part: part - mean(Series(part, [part.shape[-1]]))[..., None])


def concat(*series):
    return Series(np.concatenate([s.values for s in series], -1), sum([s.cuts for s in series], []))


def nan_to_num(values):
    largest = np.finfo("f8").max
    return np.nan_to_num(values, posinf=largest, neginf=-largest)


FUNCTIONS = {
    "mean": mean,
    "std": std,
    "var": over_time(np.var, np.zeros_like),
    "sum": over_time(np.sum),
    "min": over_time(np.min),
    "max": over_time(np.max),
    "median": over_time(np.median),
    "percentile": lambda series, q: over_time(percentile)(series, q=q),
    **{name: elementwise(getattr(np, name)) for name in "abs sqrt exp log where isfinite".split()},
    "nan_to_num": elementwise(nan_to_num),
    "drop": lambda series, n: series.each(lambda part: part[..., n:]),
    "detrend": detrend,
    "demean": demean,
    "zscore": lambda series: (series - mean(series)) / std(series),
    "concat": concat,
    "otsu": lambda image: head_of(image),
    "found": lambda file, other: other if file is None else file,
}


class Names(dict):
    """What an expression may name: bold, the functions and, by name alone, other recipes."""

    def __init__(self, bold, recipes):
        super().__init__(FUNCTIONS, bold=bold)
        self.recipes = {"tsnr": "mean(bold) / std(bold)", **recipes}

    def __missing__(self, name):
        return self.value(self.recipes[name])

    def value(self, expression):
        value = eval(expression.replace("\n", " "), {"__builtins__": {}}, self)
        return value.values if isinstance(value, Series) else np.asarray(value)


def compare(derived, double, extended):
    """Which voxels are wrong, and which cannot be told."""
    rounded = double.astype("f4")  # what is out of float32's range becomes infinite
    special = ~np.isfinite(rounded)
    doubt = np.abs(double - extended)
    unsure = ~np.isfinite(double) | ~np.isfinite(extended)
    unsure &= ~((double == extended) | (np.isnan(double) & np.isnan(extended)))
    unsure |= np.isfinite(doubt) & (doubt > 1e-5 * np.abs(extended) + 1e-9)
    same = (np.isnan(derived) & np.isnan(rounded)) | (derived == rounded)
    doubt = np.where(np.isfinite(doubt), doubt, 0)
    doubt = np.maximum(doubt, np.quantile(doubt, 0.9))  # a voxel may be lucky and differ by nothing
    limit = 1e-6 * np.abs(double) + 1000 * doubt + np.finfo("f4").smallest_subnormal
    near = np.abs(derived - double) <= limit
    return ~np.where(special, same, near) & ~unsure, unsure


def check(path, pattern, runs):
    parser = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=";")
    with open(path) as file:
        parser.read_file(file)
    recipes = {name: parser[name]["expr"] for name in parser.sections()}
    runs = [load_run(run) for run in runs]
    bold = Series(np.concatenate(runs, -1), [run.shape[-1] for run in runs])
    double = Names(bold, recipes)
    extended = Names(Series(bold.values.astype(np.longdouble), bold.cuts), recipes)
    faults = nunsure = nall = 0
    for name, expression in recipes.items():
        derived = np.asarray(nibabel.load(pattern.replace("{}", name)).dataobj)
        expected = double.value(expression).astype("f8")
        if derived.shape != expected.shape:
            print(f"{name}: shape {derived.shape}, expected {expected.shape}", file=sys.stderr)
            faults += 1
            continue
        exact = extended.value(expression).astype(np.longdouble)
        wrong, unsure = compare(derived, expected, exact)
        nunsure += unsure.sum()
        nall += unsure.size
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0])
            print(
                f"{name} = {expression}: {wrong.sum()} of {wrong.size} voxels differ; the first is "
                f"{first}: expected {expected[first]!r}, is {derived[first]!r}",
                file=sys.stderr,
            )
            faults += 1
    if nunsure * 100 > nall:
        print(f"{nunsure} of {nall} voxels cannot be told", file=sys.stderr)
        faults += 1
    return 0 if recipes and not faults else 1


def main():
    verb, *arguments = sys.argv[1:]
    if verb == "make":
        return make(int(arguments[0]), int(arguments[1]), arguments[2:] == ["whole"])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # too few degrees of freedom: NaN or inf
        return check(arguments[0], arguments[1], arguments[2:])


if __name__ == "__main__":
    sys.exit(main())
