from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Disks(_message.Message):
    __slots__ = ("by_node",)
    class ByNodeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    BY_NODE_FIELD_NUMBER: _ClassVar[int]
    by_node: _containers.ScalarMap[str, str]
    def __init__(self, by_node: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Introduction(_message.Message):
    __slots__ = ("node", "disk", "cluster", "founders", "promised", "founded", "admission")
    NODE_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    FOUNDERS_FIELD_NUMBER: _ClassVar[int]
    PROMISED_FIELD_NUMBER: _ClassVar[int]
    FOUNDED_FIELD_NUMBER: _ClassVar[int]
    ADMISSION_FIELD_NUMBER: _ClassVar[int]
    node: str
    disk: str
    cluster: str
    founders: _containers.RepeatedScalarFieldContainer[str]
    promised: Disks
    founded: Disks
    admission: int
    def __init__(self, node: _Optional[str] = ..., disk: _Optional[str] = ..., cluster: _Optional[str] = ..., founders: _Optional[_Iterable[str]] = ..., promised: _Optional[_Union[Disks, _Mapping]] = ..., founded: _Optional[_Union[Disks, _Mapping]] = ..., admission: _Optional[int] = ...) -> None: ...

class IntroductionAnswer(_message.Message):
    __slots__ = ("introduction", "accepted", "refusal", "admission")
    INTRODUCTION_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    ADMISSION_FIELD_NUMBER: _ClassVar[int]
    introduction: Introduction
    accepted: bool
    refusal: str
    admission: int
    def __init__(self, introduction: _Optional[_Union[Introduction, _Mapping]] = ..., accepted: _Optional[bool] = ..., refusal: _Optional[str] = ..., admission: _Optional[int] = ...) -> None: ...

class Sent(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Letters(_message.Message):
    __slots__ = ("letters",)
    LETTERS_FIELD_NUMBER: _ClassVar[int]
    letters: _containers.RepeatedCompositeFieldContainer[Letter]
    def __init__(self, letters: _Optional[_Iterable[_Union[Letter, _Mapping]]] = ...) -> None: ...

class Letter(_message.Message):
    __slots__ = ("source", "target", "raft", "forward", "place")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    RAFT_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    raft: RaftMessage
    forward: ForwardedProposal
    place: ProposalPlace
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., raft: _Optional[_Union[RaftMessage, _Mapping]] = ..., forward: _Optional[_Union[ForwardedProposal, _Mapping]] = ..., place: _Optional[_Union[ProposalPlace, _Mapping]] = ...) -> None: ...

class RaftMessage(_message.Message):
    __slots__ = ("boot", "term", "vote_request", "vote_reply", "append_request", "append_reply", "snapshot_piece", "snapshot_reply", "timeout_now")
    BOOT_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    VOTE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    VOTE_REPLY_FIELD_NUMBER: _ClassVar[int]
    APPEND_REQUEST_FIELD_NUMBER: _ClassVar[int]
    APPEND_REPLY_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_PIECE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_REPLY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NOW_FIELD_NUMBER: _ClassVar[int]
    boot: int
    term: int
    vote_request: VoteRequest
    vote_reply: VoteReply
    append_request: AppendRequest
    append_reply: AppendReply
    snapshot_piece: SnapshotPiece
    snapshot_reply: SnapshotReply
    timeout_now: TimeoutNow
    def __init__(self, boot: _Optional[int] = ..., term: _Optional[int] = ..., vote_request: _Optional[_Union[VoteRequest, _Mapping]] = ..., vote_reply: _Optional[_Union[VoteReply, _Mapping]] = ..., append_request: _Optional[_Union[AppendRequest, _Mapping]] = ..., append_reply: _Optional[_Union[AppendReply, _Mapping]] = ..., snapshot_piece: _Optional[_Union[SnapshotPiece, _Mapping]] = ..., snapshot_reply: _Optional[_Union[SnapshotReply, _Mapping]] = ..., timeout_now: _Optional[_Union[TimeoutNow, _Mapping]] = ...) -> None: ...

class VoteRequest(_message.Message):
    __slots__ = ("election", "pre", "last_index", "last_term", "forced")
    ELECTION_FIELD_NUMBER: _ClassVar[int]
    PRE_FIELD_NUMBER: _ClassVar[int]
    LAST_INDEX_FIELD_NUMBER: _ClassVar[int]
    LAST_TERM_FIELD_NUMBER: _ClassVar[int]
    FORCED_FIELD_NUMBER: _ClassVar[int]
    election: int
    pre: bool
    last_index: int
    last_term: int
    forced: bool
    def __init__(self, election: _Optional[int] = ..., pre: _Optional[bool] = ..., last_index: _Optional[int] = ..., last_term: _Optional[int] = ..., forced: _Optional[bool] = ...) -> None: ...

class VoteReply(_message.Message):
    __slots__ = ("election", "pre", "granted")
    ELECTION_FIELD_NUMBER: _ClassVar[int]
    PRE_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    election: int
    pre: bool
    granted: bool
    def __init__(self, election: _Optional[int] = ..., pre: _Optional[bool] = ..., granted: _Optional[bool] = ...) -> None: ...

class LogEntry(_message.Message):
    __slots__ = ("term", "kind", "data")
    TERM_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    term: int
    kind: int
    data: bytes
    def __init__(self, term: _Optional[int] = ..., kind: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class AppendRequest(_message.Message):
    __slots__ = ("before_index", "before_term", "entries", "commit", "mend_to", "news")
    BEFORE_INDEX_FIELD_NUMBER: _ClassVar[int]
    BEFORE_TERM_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    MEND_TO_FIELD_NUMBER: _ClassVar[int]
    NEWS_FIELD_NUMBER: _ClassVar[int]
    before_index: int
    before_term: int
    entries: _containers.RepeatedCompositeFieldContainer[LogEntry]
    commit: int
    mend_to: int
    news: bool
    def __init__(self, before_index: _Optional[int] = ..., before_term: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[LogEntry, _Mapping]]] = ..., commit: _Optional[int] = ..., mend_to: _Optional[int] = ..., news: _Optional[bool] = ...) -> None: ...

class AppendReply(_message.Message):
    __slots__ = ("accepted", "index", "before_index", "mending")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    BEFORE_INDEX_FIELD_NUMBER: _ClassVar[int]
    MENDING_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    index: int
    before_index: int
    mending: bool
    def __init__(self, accepted: _Optional[bool] = ..., index: _Optional[int] = ..., before_index: _Optional[int] = ..., mending: _Optional[bool] = ...) -> None: ...

class Voters(_message.Message):
    __slots__ = ("voters", "learners")
    VOTERS_FIELD_NUMBER: _ClassVar[int]
    LEARNERS_FIELD_NUMBER: _ClassVar[int]
    voters: _containers.RepeatedScalarFieldContainer[str]
    learners: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, voters: _Optional[_Iterable[str]] = ..., learners: _Optional[_Iterable[str]] = ...) -> None: ...

class SnapshotPiece(_message.Message):
    __slots__ = ("index", "term", "configuration", "size", "offset", "data")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    index: int
    term: int
    configuration: Voters
    size: int
    offset: int
    data: bytes
    def __init__(self, index: _Optional[int] = ..., term: _Optional[int] = ..., configuration: _Optional[_Union[Voters, _Mapping]] = ..., size: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class SnapshotReply(_message.Message):
    __slots__ = ("index", "offset")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    index: int
    offset: int
    def __init__(self, index: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class TimeoutNow(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ForwardedProposal(_message.Message):
    __slots__ = ("request", "command", "add_learner", "promote", "remove")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ADD_LEARNER_FIELD_NUMBER: _ClassVar[int]
    PROMOTE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_FIELD_NUMBER: _ClassVar[int]
    request: int
    command: bytes
    add_learner: str
    promote: str
    remove: str
    def __init__(self, request: _Optional[int] = ..., command: _Optional[bytes] = ..., add_learner: _Optional[str] = ..., promote: _Optional[str] = ..., remove: _Optional[str] = ...) -> None: ...

class ProposalPlace(_message.Message):
    __slots__ = ("request", "index", "term", "reason")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    request: int
    index: int
    term: int
    reason: str
    def __init__(self, request: _Optional[int] = ..., index: _Optional[int] = ..., term: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
