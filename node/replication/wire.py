"""Coherence messages and operation results as bytes on the wire between nodes.

Both directions are pure. Unknown or empty messages raise ProtocolError: nodes of one cluster run
versions that know each other's messages, so a gap there must end the link, not be skipped.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from cluster.coherence.effects import Effect, IndexTouch
from cluster.coherence.messages import (
    Ack,
    Begin,
    Fence,
    Flush,
    Image,
    LeaseHandBack,
    LeaseReply,
    LeaseRequest,
    LogMessage,
    Outcome,
    Position,
    PrimaryMessage,
    ReplicaMessage,
    Settle,
    Subscribe,
    Welcome,
)
from cluster.coherence.takeover_report import TakeoverReport
from node.values import msgpack_slices
from paceline import errors
from paceline.errors import ProtocolError
from paceline.types import Key
from paceline.v1 import replication_pb2 as pb

_OUTCOMES = {
    Outcome.SUCCESS: pb.OUTCOME_SUCCESS,
    Outcome.REJECTED: pb.OUTCOME_REJECTED,
    Outcome.UNKNOWN: pb.OUTCOME_UNKNOWN,
}
_OUTCOMES_BACK = {number: outcome for outcome, number in _OUTCOMES.items()}


def _position(position: Position) -> pb.Position:
    return pb.Position(epoch=position.epoch, sequence=position.sequence)


def _position_back(message: pb.Position) -> Position:
    return Position(message.epoch, message.sequence)


def _keys(keys: Iterable[Key]) -> list[pb.ItemKey]:
    return [pb.ItemKey(table=table, key=key) for table, key in keys]


def _keys_back(keys: Iterable[pb.ItemKey]) -> tuple[Key, ...]:
    return tuple((key.table, key.key) for key in keys)


def _effect(effect: Effect | None) -> pb.Effect:
    if effect is None:
        return pb.Effect()
    if effect.touches is None:
        return pb.Effect(schema=effect.schema)
    return pb.Effect(
        schema=effect.schema,
        exact=True,
        touches=[
            pb.IndexTouch(name=touch.name, partition=touch.partition, sort=touch.sort)
            for touch in effect.touches
        ],
    )


def _effect_back(message: pb.Effect) -> Effect | None:
    if not message.HasField("schema"):
        return None
    if not message.exact:
        return Effect(message.schema, None)
    return Effect(
        message.schema,
        tuple(
            IndexTouch(
                touch.name,
                touch.partition if touch.HasField("partition") else None,
                touch.sort if touch.HasField("sort") else None,
            )
            for touch in message.touches
        ),
    )


def _fence(fence: Fence) -> pb.Fence:
    return pb.Fence(
        position=_position(fence.position),
        keys=_keys(fence.keys),
        effects=[_effect(effect) for effect in fence.effects],
    )


def _fence_back(message: pb.Fence) -> Fence:
    return Fence(
        _position_back(message.position),
        _keys_back(message.keys),
        tuple(_effect_back(effect) for effect in message.effects),
    )


def _image(image: Image | None) -> pb.Image:
    if image is None:
        return pb.Image()
    return pb.Image(absent=True) if image.item is None else pb.Image(item=image.item)


def _image_back(message: pb.Image) -> Image | None:
    match message.WhichOneof("state"):
        case "item":
            return Image(message.item)
        case "absent":
            return Image(None)
        case _:
            return None


def recall_request(epoch: int, position: Position | None) -> pb.RecallRequest:
    return pb.RecallRequest(epoch=epoch, position=position and _position(position))


def recall_request_back(request: pb.RecallRequest) -> tuple[int, Position | None]:
    known = request.HasField("position")
    return request.epoch, _position_back(request.position) if known else None


def takeover_report(report: TakeoverReport) -> pb.RecallReply:
    return pb.RecallReply(
        position=report.position and _position(report.position),
        has_tail=report.tail is not None,
        tail=[primary_message(message) for message in report.tail or ()],
        fences=[_fence(fence) for fence in report.fences],
        unknown=_keys(report.unknown),
        all_unknown=report.all_unknown,
    )


def takeover_report_back(reply: pb.RecallReply) -> TakeoverReport:
    tail: list[LogMessage] = []
    for frame in reply.tail:
        message = primary_message_back(frame)
        if isinstance(message, Welcome | LeaseReply):
            raise ProtocolError(f"a {type(message).__name__} among the messages of a report")
        tail.append(message)
    return TakeoverReport(
        _position_back(reply.position) if reply.HasField("position") else None,
        tuple(tail) if reply.has_tail else None,
        tuple(_fence_back(fence) for fence in reply.fences),
        _keys_back(reply.unknown),
        reply.all_unknown,
    )


def primary_message(message: PrimaryMessage) -> pb.PrimaryMessage:
    match message:
        case Fence():
            return pb.PrimaryMessage(fence=_fence(message))
        case Settle():
            return pb.PrimaryMessage(
                settle=pb.Settle(
                    position=_position(message.position),
                    fence=_position(message.fence),
                    outcome=_OUTCOMES[message.outcome],
                    images=[_image(image) for image in message.images],
                )
            )
        case LeaseReply():
            return pb.PrimaryMessage(
                lease_reply=pb.LeaseReply(
                    id=message.id,
                    position=_position(message.position),
                    duration_s=message.duration_s,
                    rights_revision=message.rights_revision,
                )
            )
        case Begin():
            begin = pb.Begin(position=_position(message.position), reset=message.reset)
            if message.predecessor is not None:
                begin.predecessor.CopyFrom(_position(message.predecessor))
            return pb.PrimaryMessage(begin=begin)
        case Flush():
            flush = pb.Flush(position=_position(message.position))
            if message.table is not None:
                flush.table = message.table
            return pb.PrimaryMessage(flush=flush)
        case Welcome():
            return pb.PrimaryMessage(
                welcome=pb.Welcome(
                    position=_position(message.position),
                    reset=message.reset,
                    fences=[_fence(fence) for fence in message.fences],
                    unknown=_keys(message.unknown),
                    all_unknown=message.all_unknown,
                )
            )


def primary_message_back(frame: pb.PrimaryMessage) -> PrimaryMessage:
    match frame.WhichOneof("message"):
        case "fence":
            return _fence_back(frame.fence)
        case "settle":
            settle = frame.settle
            if settle.outcome not in _OUTCOMES_BACK:
                raise ProtocolError(f"settle with outcome {settle.outcome}")
            return Settle(
                _position_back(settle.position),
                _position_back(settle.fence),
                _OUTCOMES_BACK[settle.outcome],
                tuple(_image_back(image) for image in settle.images),
            )
        case "lease_reply":
            reply = frame.lease_reply
            return LeaseReply(
                reply.id, _position_back(reply.position), reply.duration_s, reply.rights_revision
            )
        case "begin":
            begin = frame.begin
            predecessor = (
                _position_back(begin.predecessor) if begin.HasField("predecessor") else None
            )
            return Begin(_position_back(begin.position), predecessor, begin.reset)
        case "flush":
            flush = frame.flush
            table = flush.table if flush.HasField("table") else None
            return Flush(_position_back(flush.position), table)
        case "welcome":
            welcome = frame.welcome
            return Welcome(
                _position_back(welcome.position),
                welcome.reset,
                tuple(_fence_back(fence) for fence in welcome.fences),
                _keys_back(welcome.unknown),
                welcome.all_unknown,
            )
        case other:
            raise ProtocolError(f"unexpected message from the primary: {other!r}")


def replica_message(message: ReplicaMessage) -> pb.ReplicaMessage:
    match message:
        case Ack():
            return pb.ReplicaMessage(ack=pb.Ack(position=_position(message.position)))
        case LeaseRequest():
            return pb.ReplicaMessage(lease_request=pb.LeaseRequest(id=message.id))
        case LeaseHandBack():
            return pb.ReplicaMessage(lease_hand_back=pb.LeaseHandBack())
        case Subscribe():
            subscribe = pb.Subscribe(
                node_id=message.node_id,
                incarnation=message.incarnation,
                epoch=message.epoch,
                reads_packed=True,
            )
            if message.position is not None:
                subscribe.position.CopyFrom(_position(message.position))
            return pb.ReplicaMessage(subscribe=subscribe)


def replica_message_back(frame: pb.ReplicaMessage) -> ReplicaMessage:
    match frame.WhichOneof("message"):
        case "ack":
            return Ack(_position_back(frame.ack.position))
        case "lease_request":
            return LeaseRequest(frame.lease_request.id)
        case "lease_hand_back":
            return LeaseHandBack()
        case "subscribe":
            subscribe = frame.subscribe
            position = (
                _position_back(subscribe.position) if subscribe.HasField("position") else None
            )
            return Subscribe(subscribe.node_id, subscribe.incarnation, subscribe.epoch, position)
        case other:
            raise ProtocolError(f"unexpected message from a replica: {other!r}")


def replica_frame(messages: Sequence[ReplicaMessage]) -> pb.ReplicaFrame:
    return pb.ReplicaFrame(messages=[replica_message(message) for message in messages])


class By(NamedTuple):
    """In whose name a forwarded write is to be done."""

    principal: str
    key_id: str


AS_CALLER = "caller/"
"""Before the operation of such a write. A release that knows nothing of callers' credentials has no
operation of that name, and so does not write with its own."""


def forward_request(
    operation: str, packed: bytes, by: By | None, trace: str = ""
) -> pb.ForwardRequest:
    if by is None:
        return pb.ForwardRequest(operation=operation, params=packed, trace=trace)
    return pb.ForwardRequest(
        operation=AS_CALLER + operation,
        params=packed,
        caller=pb.Caller(principal=by.principal, key_id=by.key_id),
        trace=trace,
    )


def forward_request_back(request: pb.ForwardRequest) -> tuple[str, By | None]:
    """The operation, and in whose name. NotSent if one does not go with the other."""
    named, has = request.operation.startswith(AS_CALLER), request.HasField("caller")
    if named != has:
        raise errors.NotSent("the write was not sent: it does not say in whose name it is")
    if not has:
        return request.operation, None
    by = By(request.caller.principal, request.caller.key_id)
    return request.operation.removeprefix(AS_CALLER), by


pack = msgpack_slices.packb
"""Low-level parameters or results (str, bytes, numbers, lists, dicts) as msgpack."""
pack_few = msgpack_slices.pack_few
"""The same of what is known to hold few values."""
unpack = msgpack_slices.unpackb


_KINDS: dict[str, type[errors.PacelineError]] = {
    kind.__name__: kind
    for kind in (
        errors.RequestError,
        errors.DynamoDBError,
        errors.NotSent,
        errors.OutcomeUnknown,
        errors.Unavailable,
    )
}


def forward_error(error: errors.PacelineError) -> pb.ForwardError:
    """An error for the forwarder to raise again; subclasses travel as their nearest known kind."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _KINDS), "")
    if not kind:
        return pb.ForwardError(kind="OutcomeUnknown", message=str(error))
    message = pb.ForwardError(kind=kind, message=str(error))
    if isinstance(error, errors.ServiceError):
        message.name, message.message = error.name, error.message
        if error.status is not None:
            message.status = error.status
    if isinstance(error, errors.DynamoDBError):
        message.request_id = error.request_id or ""
        details = {"reasons": error.reasons, "item": error.item, "body": error.body}
        message.details = pack(details)
    return message


def forward_error_back(message: pb.ForwardError) -> errors.PacelineError:
    kind = _KINDS.get(message.kind)
    status = message.status if message.HasField("status") else None
    if kind is errors.DynamoDBError:
        details = unpack(message.details)
        return errors.DynamoDBError(
            message.name,
            message.message,
            status,
            request_id=message.request_id or None,
            reasons=details["reasons"],
            item=details["item"],
            body=details.get("body"),
        )
    if kind is errors.RequestError:
        return errors.RequestError(message.name, message.message, status)
    if kind is None:
        return errors.OutcomeUnknown(f"the primary answered with an unknown error: {message}")
    return kind(message.message)
