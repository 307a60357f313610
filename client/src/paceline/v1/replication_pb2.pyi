from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_SUCCESS: _ClassVar[Outcome]
    OUTCOME_REJECTED: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_SUCCESS: Outcome
OUTCOME_REJECTED: Outcome
OUTCOME_UNKNOWN: Outcome

class Position(_message.Message):
    __slots__ = ("epoch", "sequence")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    sequence: int
    def __init__(self, epoch: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class ItemKey(_message.Message):
    __slots__ = ("table", "key")
    TABLE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    table: str
    key: bytes
    def __init__(self, table: _Optional[str] = ..., key: _Optional[bytes] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("item", "absent")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    item: bytes
    absent: bool
    def __init__(self, item: _Optional[bytes] = ..., absent: _Optional[bool] = ...) -> None: ...

class ReplicaFrame(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ReplicaMessage]
    def __init__(self, messages: _Optional[_Iterable[_Union[ReplicaMessage, _Mapping]]] = ...) -> None: ...

class PrimaryFrame(_message.Message):
    __slots__ = ("messages", "packed")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    PACKED_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[PrimaryMessage]
    packed: bytes
    def __init__(self, messages: _Optional[_Iterable[_Union[PrimaryMessage, _Mapping]]] = ..., packed: _Optional[bytes] = ...) -> None: ...

class ReplicaMessage(_message.Message):
    __slots__ = ("subscribe", "ack", "lease_request", "lease_hand_back")
    SUBSCRIBE_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    LEASE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    LEASE_HAND_BACK_FIELD_NUMBER: _ClassVar[int]
    subscribe: Subscribe
    ack: Ack
    lease_request: LeaseRequest
    lease_hand_back: LeaseHandBack
    def __init__(self, subscribe: _Optional[_Union[Subscribe, _Mapping]] = ..., ack: _Optional[_Union[Ack, _Mapping]] = ..., lease_request: _Optional[_Union[LeaseRequest, _Mapping]] = ..., lease_hand_back: _Optional[_Union[LeaseHandBack, _Mapping]] = ...) -> None: ...

class Subscribe(_message.Message):
    __slots__ = ("node_id", "incarnation", "epoch", "position", "reads_packed")
    NODE_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    READS_PACKED_FIELD_NUMBER: _ClassVar[int]
    node_id: str
    incarnation: str
    epoch: int
    position: Position
    reads_packed: bool
    def __init__(self, node_id: _Optional[str] = ..., incarnation: _Optional[str] = ..., epoch: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., reads_packed: _Optional[bool] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("position",)
    POSITION_FIELD_NUMBER: _ClassVar[int]
    position: Position
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class LeaseHandBack(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PrimaryMessage(_message.Message):
    __slots__ = ("begin", "fence", "settle", "flush", "welcome", "lease_reply", "refused")
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    FLUSH_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    LEASE_REPLY_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    begin: Begin
    fence: Fence
    settle: Settle
    flush: Flush
    welcome: Welcome
    lease_reply: LeaseReply
    refused: Refused
    def __init__(self, begin: _Optional[_Union[Begin, _Mapping]] = ..., fence: _Optional[_Union[Fence, _Mapping]] = ..., settle: _Optional[_Union[Settle, _Mapping]] = ..., flush: _Optional[_Union[Flush, _Mapping]] = ..., welcome: _Optional[_Union[Welcome, _Mapping]] = ..., lease_reply: _Optional[_Union[LeaseReply, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ...) -> None: ...

class Begin(_message.Message):
    __slots__ = ("position", "predecessor", "reset")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PREDECESSOR_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    position: Position
    predecessor: Position
    reset: bool
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., predecessor: _Optional[_Union[Position, _Mapping]] = ..., reset: _Optional[bool] = ...) -> None: ...

class IndexTouch(_message.Message):
    __slots__ = ("name", "partition", "sort")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    name: str
    partition: bytes
    sort: bytes
    def __init__(self, name: _Optional[str] = ..., partition: _Optional[bytes] = ..., sort: _Optional[bytes] = ...) -> None: ...

class Effect(_message.Message):
    __slots__ = ("schema", "exact", "touches")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    TOUCHES_FIELD_NUMBER: _ClassVar[int]
    schema: int
    exact: bool
    touches: _containers.RepeatedCompositeFieldContainer[IndexTouch]
    def __init__(self, schema: _Optional[int] = ..., exact: _Optional[bool] = ..., touches: _Optional[_Iterable[_Union[IndexTouch, _Mapping]]] = ...) -> None: ...

class Fence(_message.Message):
    __slots__ = ("position", "keys", "effects")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    position: Position
    keys: _containers.RepeatedCompositeFieldContainer[ItemKey]
    effects: _containers.RepeatedCompositeFieldContainer[Effect]
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[ItemKey, _Mapping]]] = ..., effects: _Optional[_Iterable[_Union[Effect, _Mapping]]] = ...) -> None: ...

class Settle(_message.Message):
    __slots__ = ("position", "fence", "outcome", "images")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    position: Position
    fence: Position
    outcome: Outcome
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., fence: _Optional[_Union[Position, _Mapping]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class Flush(_message.Message):
    __slots__ = ("position", "table")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TABLE_FIELD_NUMBER: _ClassVar[int]
    position: Position
    table: str
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., table: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("position", "reset", "fences", "unknown", "all_unknown")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    ALL_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    position: Position
    reset: bool
    fences: _containers.RepeatedCompositeFieldContainer[Fence]
    unknown: _containers.RepeatedCompositeFieldContainer[ItemKey]
    all_unknown: bool
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., reset: _Optional[bool] = ..., fences: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ..., unknown: _Optional[_Iterable[_Union[ItemKey, _Mapping]]] = ..., all_unknown: _Optional[bool] = ...) -> None: ...

class LeaseReply(_message.Message):
    __slots__ = ("id", "position", "duration_s", "rights_revision")
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_REVISION_FIELD_NUMBER: _ClassVar[int]
    id: int
    position: Position
    duration_s: float
    rights_revision: int
    def __init__(self, id: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ..., duration_s: _Optional[float] = ..., rights_revision: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class RecallRequest(_message.Message):
    __slots__ = ("epoch", "position")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    position: Position
    def __init__(self, epoch: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class RecallReply(_message.Message):
    __slots__ = ("position", "has_tail", "tail", "fences", "unknown", "all_unknown")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    HAS_TAIL_FIELD_NUMBER: _ClassVar[int]
    TAIL_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    ALL_UNKNOWN_FIELD_NUMBER: _ClassVar[int]
    position: Position
    has_tail: bool
    tail: _containers.RepeatedCompositeFieldContainer[PrimaryMessage]
    fences: _containers.RepeatedCompositeFieldContainer[Fence]
    unknown: _containers.RepeatedCompositeFieldContainer[ItemKey]
    all_unknown: bool
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., has_tail: _Optional[bool] = ..., tail: _Optional[_Iterable[_Union[PrimaryMessage, _Mapping]]] = ..., fences: _Optional[_Iterable[_Union[Fence, _Mapping]]] = ..., unknown: _Optional[_Iterable[_Union[ItemKey, _Mapping]]] = ..., all_unknown: _Optional[bool] = ...) -> None: ...

class ForwardRequest(_message.Message):
    __slots__ = ("operation", "params", "caller", "trace")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    operation: str
    params: bytes
    caller: Caller
    trace: str
    def __init__(self, operation: _Optional[str] = ..., params: _Optional[bytes] = ..., caller: _Optional[_Union[Caller, _Mapping]] = ..., trace: _Optional[str] = ...) -> None: ...

class Caller(_message.Message):
    __slots__ = ("principal", "key_id")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    principal: str
    key_id: str
    def __init__(self, principal: _Optional[str] = ..., key_id: _Optional[str] = ...) -> None: ...

class ForwardReply(_message.Message):
    __slots__ = ("result", "error")
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    result: bytes
    error: ForwardError
    def __init__(self, result: _Optional[bytes] = ..., error: _Optional[_Union[ForwardError, _Mapping]] = ...) -> None: ...

class ForwardError(_message.Message):
    __slots__ = ("kind", "name", "message", "status", "request_id", "details")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    message: str
    status: int
    request_id: str
    details: bytes
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., message: _Optional[str] = ..., status: _Optional[int] = ..., request_id: _Optional[str] = ..., details: _Optional[bytes] = ...) -> None: ...

class ForwardFrame(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[NumberedForward]
    def __init__(self, requests: _Optional[_Iterable[_Union[NumberedForward, _Mapping]]] = ...) -> None: ...

class NumberedForward(_message.Message):
    __slots__ = ("id", "left_s", "request")
    ID_FIELD_NUMBER: _ClassVar[int]
    LEFT_S_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    id: int
    left_s: float
    request: ForwardRequest
    def __init__(self, id: _Optional[int] = ..., left_s: _Optional[float] = ..., request: _Optional[_Union[ForwardRequest, _Mapping]] = ...) -> None: ...

class AnswerFrame(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[NumberedAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[NumberedAnswer, _Mapping]]] = ...) -> None: ...

class NumberedAnswer(_message.Message):
    __slots__ = ("id", "reply", "not_primary")
    ID_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    NOT_PRIMARY_FIELD_NUMBER: _ClassVar[int]
    id: int
    reply: ForwardReply
    not_primary: str
    def __init__(self, id: _Optional[int] = ..., reply: _Optional[_Union[ForwardReply, _Mapping]] = ..., not_primary: _Optional[str] = ...) -> None: ...

class PeekRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: ItemKey
    def __init__(self, key: _Optional[_Union[ItemKey, _Mapping]] = ...) -> None: ...

class PeekReply(_message.Message):
    __slots__ = ("key", "image", "age_s")
    KEY_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    key: ItemKey
    image: Image
    age_s: float
    def __init__(self, key: _Optional[_Union[ItemKey, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., age_s: _Optional[float] = ...) -> None: ...
