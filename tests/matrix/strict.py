"""Shapes of JSON, and the check that a value has one: nothing missing, nothing of the wrong type, and
nothing that the shape does not name.

A shape is a type (str, int, float, bool, dict: any object, list: any array), None, a tuple of shapes
(any of them), a list of one shape (an array of such), a set of strings (one of them), a function
(value, path) that raises Bad, or an object: {"name": shape}, where "name!" has to be there.
"""


class Bad(Exception):
    """A request that the real API would refuse."""

    def __init__(self, message, path="", status=400):
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.status = status


NAMES = {str: "a string", int: "an integer", float: "a number", bool: "a boolean", dict: "an object",
         list: "an array", type(None): "null"}


def is_a(value, kind):
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind)


def check_object(value, shape, path):
    if not isinstance(value, dict):
        raise Bad(f"expected an object, got {value!r}", path)
    known = {name.rstrip("!"): of for name, of in shape.items()}
    for name, item in value.items():
        at = f"{path}.{name}" if path else name
        if name not in known:
            raise Bad("extra inputs are not permitted", at)
        check(item, known[name], at)
    for name in shape:
        if name.endswith("!") and name[:-1] not in value:
            raise Bad("field required", f"{path}.{name[:-1]}" if path else name[:-1])


def check_any(value, shapes, path):
    """The error of the shape that came furthest."""
    errors = []
    for shape in shapes:
        try:
            return check(value, shape, path)
        except Bad as bad:
            errors.append(bad)
    raise max(errors, key=lambda bad: len(bad.path))


def check(value, shape, path=""):
    if shape is None:
        shape = type(None)
    if isinstance(shape, type):
        if not is_a(value, shape):
            raise Bad(f"expected {NAMES[shape]}, got {value!r}"[:200], path)
    elif isinstance(shape, dict):
        check_object(value, shape, path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise Bad(f"expected an array, got {value!r}"[:200], path)
        for at, item in enumerate(value):
            check(item, shape[0], f"{path}[{at}]")
    elif isinstance(shape, tuple):
        check_any(value, shape, path)
    elif isinstance(shape, (set, frozenset)):
        if not isinstance(value, str) or value not in shape:
            raise Bad(f"expected one of {sorted(shape)}, got {value!r}", path)
    else:
        shape(value, path)


def number(low, high):
    """A number from `low` to `high`."""
    def shape(value, path):
        check(value, float, path)
        if not low <= value <= high:
            raise Bad(f"{value} is not from {low} to {high}", path)
    return shape


def integer(low, high=1 << 31):
    def shape(value, path):
        check(value, int, path)
        if not low <= value <= high:
            raise Bad(f"{value} is not from {low} to {high}", path)
    return shape


def text(value, path):
    """A string with something in it."""
    check(value, str, path)
    if not value:
        raise Bad("must not be empty", path)


def matching(regexp):
    import re

    def shape(value, path):
        check(value, str, path)
        if not re.fullmatch(regexp, value):
            raise Bad(f"{value!r} does not match {regexp}", path)
    return shape


def up_to(count, of, least=0):
    """An array of `least` to `count` items."""
    def shape(value, path):
        check(value, [of], path)
        if not least <= len(value) <= count:
            raise Bad(f"{len(value)} items, not {least} to {count}", path)
    return shape


def by_type(**shapes):
    """An object whose "type" tells its shape; `_` in a name stands for itself."""
    def shape(value, path):
        check(value, dict, path)
        kind = value.get("type")
        if kind not in shapes:
            raise Bad(f"unknown type {kind!r}", f"{path}.type")
        check(value, {"type!": str, **shapes[kind]}, path)
    return shape


def one_of(required, common=None):
    """An object with exactly one of the members `required`, and any of `common`."""
    def shape(value, path):
        check(value, dict, path)
        have = [name for name in required if name in value]
        if len(have) != 1:
            raise Bad(f"expected exactly one of {sorted(required)}, got {sorted(value)}", path)
        check(value, {have[0]: required[have[0]], **(common or {})}, path)
    return shape
