from protos.matchbit.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetUploadRequest(_message.Message):
    __slots__ = ("session_id", "commitment")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    commitment: bytes
    def __init__(self, session_id: _Optional[bytes] = ..., commitment: _Optional[bytes] = ...) -> None: ...

class GetUploadResponse(_message.Message):
    __slots__ = ("received_bytes",)
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    received_bytes: int
    def __init__(self, received_bytes: _Optional[int] = ...) -> None: ...

class ContributionHeader(_message.Message):
    __slots__ = ("commitment", "seeds", "offset")
    COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    SEEDS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    commitment: _session_pb2.Commitment
    seeds: _containers.RepeatedScalarFieldContainer[bytes]
    offset: int
    def __init__(self, commitment: _Optional[_Union[_session_pb2.Commitment, _Mapping]] = ..., seeds: _Optional[_Iterable[bytes]] = ..., offset: _Optional[int] = ...) -> None: ...

class ContributeRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: ContributionHeader
    chunk: bytes
    def __init__(self, header: _Optional[_Union[ContributionHeader, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ContributeResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: _session_pb2.Receipt
    def __init__(self, receipt: _Optional[_Union[_session_pb2.Receipt, _Mapping]] = ...) -> None: ...

class FetchResultRequest(_message.Message):
    __slots__ = ("session_id", "completions")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    completions: _containers.RepeatedCompositeFieldContainer[_session_pb2.Completion]
    def __init__(self, session_id: _Optional[bytes] = ..., completions: _Optional[_Iterable[_Union[_session_pb2.Completion, _Mapping]]] = ...) -> None: ...

class FetchResultResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...

class StartRunRequest(_message.Message):
    __slots__ = ("session_id", "attempt", "commitments")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    attempt: int
    commitments: _containers.RepeatedCompositeFieldContainer[_session_pb2.Commitment]
    def __init__(self, session_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., commitments: _Optional[_Iterable[_Union[_session_pb2.Commitment, _Mapping]]] = ...) -> None: ...

class StartRunResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetRunRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    def __init__(self, session_id: _Optional[bytes] = ...) -> None: ...

class Phase(_message.Message):
    __slots__ = ("name", "seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    seconds: float
    def __init__(self, name: _Optional[str] = ..., seconds: _Optional[float] = ...) -> None: ...

class RunFigures(_message.Message):
    __slots__ = ("cpu_s", "sent_bytes", "idle_rss_bytes", "peak_rss_bytes", "phases")
    CPU_S_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    IDLE_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    PEAK_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    cpu_s: float
    sent_bytes: int
    idle_rss_bytes: int
    peak_rss_bytes: int
    phases: _containers.RepeatedCompositeFieldContainer[Phase]
    def __init__(self, cpu_s: _Optional[float] = ..., sent_bytes: _Optional[int] = ..., idle_rss_bytes: _Optional[int] = ..., peak_rss_bytes: _Optional[int] = ..., phases: _Optional[_Iterable[_Union[Phase, _Mapping]]] = ...) -> None: ...

class GetRunResponse(_message.Message):
    __slots__ = ("state", "reason", "attempt", "progress", "figures", "retriable", "completion")
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    RETRIABLE_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_FIELD_NUMBER: _ClassVar[int]
    state: _session_pb2.SessionState
    reason: str
    attempt: int
    progress: _session_pb2.Progress
    figures: RunFigures
    retriable: bool
    completion: _session_pb2.Completion
    def __init__(self, state: _Optional[_Union[_session_pb2.SessionState, str]] = ..., reason: _Optional[str] = ..., attempt: _Optional[int] = ..., progress: _Optional[_Union[_session_pb2.Progress, _Mapping]] = ..., figures: _Optional[_Union[RunFigures, _Mapping]] = ..., retriable: _Optional[bool] = ..., completion: _Optional[_Union[_session_pb2.Completion, _Mapping]] = ...) -> None: ...

class Completions(_message.Message):
    __slots__ = ("completions",)
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    completions: _containers.RepeatedCompositeFieldContainer[_session_pb2.Completion]
    def __init__(self, completions: _Optional[_Iterable[_Union[_session_pb2.Completion, _Mapping]]] = ...) -> None: ...

class EndRunRequest(_message.Message):
    __slots__ = ("session_id", "attempt", "completions", "reason")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    COMPLETIONS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    attempt: int
    completions: Completions
    reason: str
    def __init__(self, session_id: _Optional[bytes] = ..., attempt: _Optional[int] = ..., completions: _Optional[_Union[Completions, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class EndRunResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: _session_pb2.SessionState
    def __init__(self, state: _Optional[_Union[_session_pb2.SessionState, str]] = ...) -> None: ...

class DeleteSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    def __init__(self, session_id: _Optional[bytes] = ...) -> None: ...

class DeleteSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExchangeHeader(_message.Message):
    __slots__ = ("session_id", "attempt")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    attempt: int
    def __init__(self, session_id: _Optional[bytes] = ..., attempt: _Optional[int] = ...) -> None: ...

class ExchangeFrame(_message.Message):
    __slots__ = ("step", "payload")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    step: str
    payload: bytes
    def __init__(self, step: _Optional[str] = ..., payload: _Optional[bytes] = ...) -> None: ...

class ExchangeRequest(_message.Message):
    __slots__ = ("header", "frame")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    header: ExchangeHeader
    frame: ExchangeFrame
    def __init__(self, header: _Optional[_Union[ExchangeHeader, _Mapping]] = ..., frame: _Optional[_Union[ExchangeFrame, _Mapping]] = ...) -> None: ...

class ExchangeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
