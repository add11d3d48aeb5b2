"""Dying at a chosen moment, in tests of what survives it."""


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


def kill(*_: object, **__: object) -> None:
    """Die. Takes the place of any function."""
    raise Killed
