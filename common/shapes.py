# SPDX-License-Identifier: MIT
"""What the fields of a build's JSON files are, by their names: a field of one name is the same thing in all of them.

A shape is a type, a function that says yes or no, a list of one shape for all elements, or a mapping from keys to
shapes, in which the key `str` stands for all that it does not name."""


def is_figure(value) -> bool:
    """A count, a cost or a weight: finite, and not below zero."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18


def are_metrics(value) -> bool:
    """What a measurement counted: figures, None where one was not measured, and the calls of each function."""
    return isinstance(value, dict) and is_figure(value.get("ir_alloc")) and \
        all(fits(inner, {str: is_figure}) if name == "calls" else inner is None or is_figure(inner)
            for name, inner in value.items())


def are_lines(value, of_server: bool) -> bool:
    """The rows of an own command's table (bench/own.py): a figure is None where it was not to be had."""
    said = ("cpu_us", "requests") if of_server else ("share",)
    maybe = ("peak_kib", "p50", "p99") if of_server else ("peak_kib", "faults")
    return fits(value, [dict]) and all(
        isinstance(line.get("subject"), str) and isinstance(line.get("time"), str)
        and all(is_figure(line.get(name)) for name in said)
        and all(name in line and (line[name] is None or is_figure(line[name])) for name in maybe) for line in value)


def is_own(value) -> bool:
    """What was found about an own command or server."""
    return fits(value, {"role": str, "command": str, "rounds": is_figure, "floor": is_figure, "lines": list,
                        str: lambda _: True}) and (value.get("server") or is_figure(value.get("seconds"))) and \
        are_lines(value["lines"], bool(value.get("server")))


ESTIMATE = {"text": str, "warnings": [str], str: lambda _: True}
SHAPES = {
    **dict.fromkeys(("digest", "label", "note", "role", "sentence", "so", "stage", "toolchain", "variant", "verdict",
                     "workload"), str),
    "accepted": bool,
    "against": {str: {str: ESTIMATE}},
    "command": [str],
    "commands": [is_own],
    "control": {"text": str, str: lambda _: True},
    "floor": is_figure,
    "given": [str],
    "metrics": are_metrics,
    "patterns": {str: {"malloc": is_figure, "free": is_figure, "together": is_figure, str: is_figure}},
    "provenance": dict,
    "rounds": is_figure,
    "weight": is_figure,
}


def fits(value, shape) -> bool:
    """Whether a value is of a shape. Keys that a mapping names must be there."""
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(element, shape[0]) for element in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(key is str or key in value for key in shape) and \
            all(fits(inner, shape.get(key, shape[str])) for key, inner in value.items())
    return isinstance(value, shape) if isinstance(shape, type) else shape(value)
