from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_PRIMARY: _ClassVar[Role]
    ROLE_REPLICA: _ClassVar[Role]

class Health(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_UNSPECIFIED: _ClassVar[Health]
    HEALTH_ALIVE: _ClassVar[Health]
    HEALTH_UNREACHABLE: _ClassVar[Health]
ROLE_UNSPECIFIED: Role
ROLE_PRIMARY: Role
ROLE_REPLICA: Role
HEALTH_UNSPECIFIED: Health
HEALTH_ALIVE: Health
HEALTH_UNREACHABLE: Health

class GetRosterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchRosterRequest(_message.Message):
    __slots__ = ("heartbeat_ms",)
    HEARTBEAT_MS_FIELD_NUMBER: _ClassVar[int]
    heartbeat_ms: int
    def __init__(self, heartbeat_ms: _Optional[int] = ...) -> None: ...

class Roster(_message.Message):
    __slots__ = ("cluster_id", "epoch", "primary_id", "nodes", "age_ms", "revision")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_ID_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    epoch: int
    primary_id: str
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    age_ms: int
    revision: int
    def __init__(self, cluster_id: _Optional[str] = ..., epoch: _Optional[int] = ..., primary_id: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., age_ms: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "zone", "role", "health", "addresses", "incarnation", "draining", "number")
    class AddressesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    id: str
    zone: str
    role: Role
    health: Health
    addresses: _containers.ScalarMap[str, str]
    incarnation: str
    draining: bool
    number: int
    def __init__(self, id: _Optional[str] = ..., zone: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., health: _Optional[_Union[Health, str]] = ..., addresses: _Optional[_Mapping[str, str]] = ..., incarnation: _Optional[str] = ..., draining: _Optional[bool] = ..., number: _Optional[int] = ...) -> None: ...
