"""Draws operations as bars on a common axis, one line each."""

from collections.abc import Collection, Sequence

from paceline_local.testing.linearizability.history import Operation

BARS_MAX = 40
COLUMNS_MAX = 160
"""The size of a drawing beyond which it says less than a list."""


def render(operations: Sequence[Operation], context: Collection[Operation] = ()) -> str:
    """Draws the operations in the order of invocation; lines of ``context`` are marked with ``(``.
    Columns are in the order of the events, not to scale; a bar without an end never returned."""
    shown = sorted(
        [*((o, False) for o in operations), *((o, True) for o in context)],
        key=lambda row: (row[0].invoked_at, row[0].invoked_order),
    )
    if not shown:
        return ""
    bars = _bars([operation for operation, _ in shown])
    names = [f"{'(' if extra else ' '}{o.process}" for o, extra in shown]
    name_columns = max(map(len, names))
    bar_columns = max(map(len, bars))
    return "\n".join(
        f" {name:<{name_columns}}  {bar:<{bar_columns}}  {_times(operation)}"
        for name, bar, (operation, _) in zip(names, bars, shown, strict=True)
    )


def label(operation: Operation) -> str:
    text = operation.kind
    if operation.argument is not None:
        text += f" {operation.argument!r}"
    if operation.failed:
        return f"{text} failed"
    if operation.unknown:
        return f"{text} ?"
    if operation.result is not None or operation.argument is None:
        # A kind that neither takes nor answers anything, such as delete, is not told from a read
        # of nothing: both end in None, which is what they answered.
        text += f" = {operation.result!r}"
    return text


def _bars(operations: Sequence[Operation]) -> list[str]:
    labels = [label(operation) for operation in operations]
    events: list[tuple[float, int, bool, int]] = []
    for index, operation in enumerate(operations):
        events.append((operation.invoked_at, operation.invoked_order, False, index))
        if operation.returned_at is not None:
            events.append((operation.returned_at, operation.returned_order, True, index))
    begin = [0] * len(operations)
    end: list[int | None] = [None] * len(operations)
    column, last = 0, None
    for time, order, is_return, index in sorted(events):
        if last is not None and last != (time, order, is_return):
            column += 1
        last = (time, order, is_return)
        if is_return:
            column = max(column, begin[index] + len(labels[index]) + 3)
            end[index] = column
        else:
            begin[index] = column
    widths = [begin[i] + len(text) + 3 for i, text in enumerate(labels)]
    if len(operations) > BARS_MAX or max([*widths, column]) > COLUMNS_MAX:
        return labels
    edge = max([column, *widths])
    bars = []
    for index, text in enumerate(labels):
        stop = end[index]
        columns = (edge if stop is None else stop) - begin[index] - 1
        tail = "~" if stop is None else "|"
        bars.append(" " * begin[index] + "|" + text.center(columns, "-") + tail)
    return bars


def _times(operation: Operation) -> str:
    end = "?" if operation.returned_at is None else f"{operation.returned_at:.6f}"
    return f"{operation.invoked_at:.6f} .. {end}"
