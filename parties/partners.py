"""Asking nodes how they are: whether they can be reached, are who they must be, their version, clock and health."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from parties.calls import connected
from parties.config import Config
from parties.errors import PeerUnavailable, ServiceError
from parties.federation import Node
from protos.matchbit.v1 import node_pb2 as pb
from protos.matchbit.v1.node_pb2_grpc import NodeServiceStub

TIMEOUT_S = 5.0
"""For each question to a node."""
AT_ONCE = 32
MAX_VERSION_CHARS, MAX_PROTOCOLS = 40, 16
"""What is taken of a node's words."""


@dataclass(frozen=True)
class Answer:
    """How a node is, by its own words.

    Attributes:
        name: as it calls itself.
        version: of its program.
        protocols: versions of the protocol that it speaks.
        ahead_s: its clock's advance on ours, in seconds; negative when it is behind.
        uncertain_s: by how much `ahead_s` may be wrong: half of the time that question and answer took.
        is_serving: whether it takes new work.
    """

    name: str
    version: str
    protocols: tuple[int, ...]
    ahead_s: float
    uncertain_s: float
    is_serving: bool


def ask(config: Config, node: Node, timeout_s: float = TIMEOUT_S) -> Answer:
    """How a node is.

    Raises:
        ServiceError: it does not answer, or is not who it must be.
    """
    with connected(config, node) as connection:
        is_serving = _is_serving(connection, node.name, timeout_s)  # first, so that the clock's call has a connection
        asked = time.time()
        said = NodeServiceStub(connection).GetNode(pb.GetNodeRequest(), timeout=timeout_s)
        answered = time.time()
    ahead_s = said.unix_ms / 1000 - (asked + answered) / 2
    spoken = tuple(said.protocols[:MAX_PROTOCOLS])
    return Answer(said.name, said.version[:MAX_VERSION_CHARS], spoken, ahead_s, abs(answered - asked) / 2, is_serving)


def ask_all(config: Config, nodes: Iterable[Node], timeout_s: float = TIMEOUT_S) -> dict[str, Answer | ServiceError]:
    """How nodes are, asked at the same time: by name, an answer or why there is none."""

    def one(node: Node) -> Answer | ServiceError:
        try:
            return ask(config, node, timeout_s)
        except ServiceError as error:
            return error

    asked = list(nodes)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip((node.name for node in asked), pool.map(one, asked), strict=True))


def check_own(config: Config, timeout_s: float = TIMEOUT_S) -> None:
    """Let through when this node's own daemon takes new work.

    Raises:
        PeerUnavailable: it does not run, or is being stopped.
    """
    with connected(config, own_node(config)) as connection:
        if not _is_serving(connection, config.name, timeout_s):
            raise PeerUnavailable(f"{config.name} is being stopped.")


def own_node(config: Config) -> Node:
    """This node, at the address on which its daemon can be reached from the same machine.

    Raises:
        ConfigError: it does not listen, or is not in its own federation.toml.
    """
    host, _, port = config.listen.rpartition(":")
    try:
        found = ipaddress.ip_address(host.strip("[]"))
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(str(found), host)  # noqa: S104 - any address is ours
    except ValueError:
        pass  # a name
    return replace(config.federation()[config.name], address=f"{host}:{port}" if config.listen else "")


def _is_serving(connection: grpc.Channel, name: str, timeout_s: float) -> bool:
    try:
        health = HealthStub(connection).Check(HealthCheckRequest(), timeout=timeout_s)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise PeerUnavailable(f"{name} runs a Matchbit that cannot tell how it is; it must update.") from None
        raise
    return bool(health.status == HealthCheckResponse.SERVING)
