"""A GetItem whose first attempt a driver makes by itself, outside of ``Core.perform``. Pure."""

from __future__ import annotations

from collections.abc import Generator

from paceline.client.core.call_flow import Core
from paceline.client.core.commands import Broken, Command, StepResult
from paceline.client.core.definitions import MissingDefinition
from paceline.client.core.plain_get import PlainGet
from paceline.client.core.retry import Call, GiveUp, Kind
from paceline.client.core.roster import Node
from paceline.dax.connection import ErrorReply, Reply
from paceline.types import Params, Result


def result_of(
    core: Core, plain: PlainGet, node: Node, outcome: Reply | ErrorReply | Broken, began: float
) -> Result | None:
    """The item that ``node`` answered; None for ``resumed`` to go on with anything else."""
    if type(outcome) is not Reply:
        return None
    core.answered(node, began, core.clock(), True)
    try:
        return plain.decode(outcome.body, core.definitions.names_of)
    except MissingDefinition:
        return None


def resumed(
    core: Core,
    plain: PlainGet,
    params: Params,
    node: Node,
    outcome: Reply | ErrorReply | Broken,
    began: float,
    deadline_s: float,
) -> tuple[Generator[Command, StepResult, Result], Call]:
    """The rest of the call after its first attempt, at ``node``, came to ``outcome``, of which
    ``result_of`` made nothing. Seconds."""
    call = core.call(Kind.READ, began, began + deadline_s)
    call.attempted(node)
    return _rest(core, plain, params, call, node, outcome, began), call


def _rest(
    core: Core,
    plain: PlainGet,
    params: Params,
    call: Call,
    node: Node,
    outcome: Reply | ErrorReply | Broken,
    began: float,
) -> Generator[Command, StepResult, Result]:
    if type(outcome) is Reply:
        return (yield from core.finish("GetItem", params, outcome, call, plain))
    end = core.record_outcome(call, node, outcome, began)
    if type(end) is GiveUp:
        raise core.raised(end, "GetItem", params, call)
    return (yield from core.perform("GetItem", params, call, plain))
