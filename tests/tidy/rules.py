"""The house rules that a machine can check, as functions of source text."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70

_CLOCKS = {"time", "monotonic", "monotonic_ns", "time_ns", "perf_counter", "clock_gettime"}
_TODAYS = {"now", "utcnow", "today"}
_PICKLES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle"}
_SPAWNERS = {"create_task", "ensure_future", "run_coroutine_threadsafe"}

WORDING = {
    "names a place outside the repository": re.compile(r"/w[o]rk/|\.\./sh[a]red|~/sh[a]red"),
    "names notes that the repository does not have": re.compile(
        r"\bw[i]re facts|\b(w[i]re|dax) sh[e]et\b|consensus-n[o]tes|performance-n[o]tes"
        r"|examples-to-f[o]llow|DES[I]GN(\.md| \d| sec)",
        re.IGNORECASE,
    ),
    "names the work instead of the thing": re.compile(
        r"\b[i]ssue \d|\bp[a]rt [1-9]\b|\bas the br[i]ef|\bsub-?ag[e]nt|\bthe other eng[i]neer"
        r"|\bowned by eng[i]neer|\bfuture p[a]rts?\b|\bl[a]ter part of the project",
        re.IGNORECASE,
    ),
}


@lru_cache(None)
def _nodes(source: str) -> tuple[ast.AST, ...]:
    """All of it. Several rules look at each file."""
    return tuple(ast.walk(ast.parse(source)))


def too_long(source: str) -> Iterator[str]:
    lines = source.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"the file has {lines} lines, at most {FILE_LINES_MAX} are allowed: split it"
    for node in _nodes(source):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield (
                    f"line {node.lineno}: {node.name} has {length} lines, at most "
                    f"{FUNCTION_LINES_MAX} are allowed"
                )


def unpickles(source: str) -> Iterator[str]:
    """Formats whose bytes run code, or crash, where they are read."""
    for node in _nodes(source):
        match node:
            case ast.Import(names=names):
                imported = [name.name for name in names]
            case ast.ImportFrom(module=str(module)):
                imported = [module]
            case _:
                continue
        for name in imported:
            if name.partition(".")[0] in _PICKLES:
                yield f"line {node.lineno}: {name}"


def banned_calls(source: str) -> Iterator[str]:
    """Clocks and chance outside the places that own them, and tasks that nobody keeps."""
    for node in _nodes(source):
        if isinstance(node, ast.Call):
            yield from _banned_call(node)
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "random"):
            for name in node.names:
                if node.module == "random" or name.name in _CLOCKS:
                    yield f"line {node.lineno}: from {node.module} import {name.name}"
        if isinstance(node, ast.Expr) and _spawns(node.value):
            yield (
                f"line {node.lineno}: the task is not kept: it may be collected while it runs, "
                "and nobody sees its exception"
            )


def _banned_call(call: ast.Call) -> Iterator[str]:
    function = call.func
    if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
        return
    name = f"{function.value.id}.{function.attr}"
    if function.value.id == "time" and function.attr in _CLOCKS:
        yield f"line {call.lineno}: {name}() reads a clock: use paceline.clock, or take `now`"
    if function.value.id in ("datetime", "date") and function.attr in _TODAYS:
        yield f"line {call.lineno}: {name}() reads a clock: use paceline.clock.utc_now"
    # A generator of one's own (random.Random) can be seeded and handed in.
    if function.value.id == "random" and function.attr != "Random":
        yield f"line {call.lineno}: {name}() draws from shared, unseeded chance: take an `rng`"


def _spawns(value: ast.expr) -> bool:
    """A call that makes a task. A task group keeps its tasks by itself."""
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return False
    if value.func.attr not in _SPAWNERS:
        return False
    owner = ast.unparse(value.func.value).lower()
    return "group" not in owner and owner != "tg"


_FORKS = {("os", "fork"), ("os", "forkpty"), ("pty", "fork")}
_COPIES = {name for _, name in _FORKS}
_POOL = "ProcessPoolExecutor"


def forks(source: str) -> Iterator[str]:
    """What makes a second process of this one's memory, with the same incarnation and leases."""
    for node in _nodes(source):
        names: list[str] = []
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module)):
                names = [f"{module}.{alias.name}" for alias in node.names]
            case ast.Attribute(attr=last) if last == _POOL or last in _COPIES:
                names = [ast.unparse(node)]
        for name in names:
            top, _, last = name.partition(".")
            if top == "multiprocessing" or (top, last) in _FORKS or name.endswith(f".{_POOL}"):
                yield f"line {getattr(node, 'lineno', 0)}: {name} copies a running process"


def wording(text: str) -> Iterator[str]:
    """Words by which the project would speak of how it came about."""
    for what, pattern in WORDING.items():
        for found in pattern.finditer(text):
            number = text.count("\n", 0, found.start()) + 1
            yield f"line {number}: {found.group()!r} {what}"
