"""The traces of errors, which hold what was at work when they were raised. Pure."""

from __future__ import annotations


def forget_trace(error: BaseException | None) -> None:
    """Of an error that was told, and of those it came from.

    A trace holds the frames that the error went through, and one of them most often something that
    holds the error. All that they hold, the request's millions of values, too, would be left to a
    collection of garbage, which frees it in one go.
    """
    left = [error]
    while left:
        one = left.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            left += [one.__cause__, one.__context__]
