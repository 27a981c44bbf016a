from protos.matchbit.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetNodeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetNodeResponse(_message.Message):
    __slots__ = ("name", "version", "protocols", "unix_ms", "role")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOLS_FIELD_NUMBER: _ClassVar[int]
    UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    protocols: _containers.RepeatedScalarFieldContainer[int]
    unix_ms: int
    role: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., protocols: _Optional[_Iterable[int]] = ..., unix_ms: _Optional[int] = ..., role: _Optional[str] = ...) -> None: ...

class ExchangeHeadsRequest(_message.Message):
    __slots__ = ("session_id", "heads")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    HEADS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    heads: _containers.RepeatedCompositeFieldContainer[_session_pb2.Head]
    def __init__(self, session_id: _Optional[bytes] = ..., heads: _Optional[_Iterable[_Union[_session_pb2.Head, _Mapping]]] = ...) -> None: ...

class ExchangeHeadsResponse(_message.Message):
    __slots__ = ("heads",)
    HEADS_FIELD_NUMBER: _ClassVar[int]
    heads: _containers.RepeatedCompositeFieldContainer[_session_pb2.Head]
    def __init__(self, heads: _Optional[_Iterable[_Union[_session_pb2.Head, _Mapping]]] = ...) -> None: ...
