"""HTTP/2 by hand, for what gRPC would never do; it keeps to no rule of the protocol by itself.

Header blocks are literals that are neither indexed nor compressed (RFC 7541, 6.2.2), so that no state is shared.
"""

from __future__ import annotations

import re
import socket
import ssl
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from parties import protocols
from parties.federation import Node
from parties.identity import Identity, tls_name

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS = 0x1, 0x4
INITIAL_WINDOW_SIZE, CANCEL = 4, 8
FRAME_BYTES = 1 << 14
"""Longest payload that everyone must take."""
WINDOW_BYTES = (1 << 16) - 1
"""What may be sent on a new connection before the other side asks for more."""
MOST_HEARD_BYTES = 1 << 20
PATIENCE_S = 30.0
_CODES = {0: "NO_ERROR", 1: "PROTOCOL_ERROR", 7: "REFUSED_STREAM", 8: "CANCEL", 11: "ENHANCE_YOUR_CALM"}
_ID = re.compile(r"\b[0-9a-f]{16}\b")


def frame(kind: int, payload: bytes = b"", stream: int = 0, flags: int = 0) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """A gRPC message as it is on the wire."""
    return bytes([compressed]) + len(body).to_bytes(4, "big") + body


def data(stream: int, body: bytes, *, end: bool = False) -> bytes:
    """Frames with these bytes."""
    pieces = [body[k : k + FRAME_BYTES] for k in range(0, len(body), FRAME_BYTES)] or [b""]
    last = frame(DATA, pieces.pop(), stream, END_STREAM if end else 0)
    return b"".join(frame(DATA, piece, stream) for piece in pieces) + last


def block(fields: Mapping[str, str]) -> bytes:
    """A header block."""
    return b"".join(b"\x00" + text(name) + text(value) for name, value in fields.items())


def text(value: str) -> bytes:
    """A string of a header block."""
    raw, rest = value.encode("ascii"), len(value) - 127
    if rest < 0:
        return bytes([len(raw)]) + raw
    length = bytearray([127])
    while rest >= 128:
        length.append(rest % 128 | 128)
        rest //= 128
    return bytes(length) + bytes([rest]) + raw


class Connection:
    """To one node.

    Args:
        node: is called.
        identity: is shown to it.
        window_bytes: how much the node may send in each call before it is asked to go on, which it never is.
    """

    def __init__(self, node: Node, identity: Identity, window_bytes: int = WINDOW_BYTES) -> None:
        host, port = node.address.rsplit(":", 1)
        self._authority = tls_name(node.name)
        self._last, self._raw = -1, b""
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        try:
            self.socket = _context(identity).wrap_socket(self.socket, server_hostname=self._authority)
            setting = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + window_bytes.to_bytes(4, "big")
            self.send(PREFACE + frame(SETTINGS, setting))
        except BaseException:
            self.socket.close()
            raise

    def send(self, raw: bytes) -> None:
        """Send these bytes.

        Raises:
            OSError: the node has hung up, or takes nothing any more.
        """
        self.socket.sendall(raw)

    def opening(
        self,
        method: str,
        body: bytes = b"",
        *,
        end: bool = False,
        flags: int = END_HEADERS,
        more: bytes = b"",
        **fields: str,
    ) -> bytes:
        """The bytes that open a call, with what is sent at once.

        Args:
            method: service and name.
            body: of the first messages.
            end: whether that is all.
            flags: of the headers.
            more: added to the header block.
            fields: headers besides the usual ones.
        """
        self._last += 2
        usual = {
            ":method": "POST",
            ":scheme": "https",
            ":path": f"/matchbit.v1.{method}",
            ":authority": self._authority,
        }
        usual |= {"te": "trailers", "content-type": "application/grpc", protocols.METADATA: protocols.told()}
        usual |= {name.replace("_", "-"): value for name, value in fields.items()}
        opened = frame(HEADERS, block(usual) + more, self._last, flags)
        return opened + (data(self._last, body, end=end) if body or end else b"")

    @property
    def streams(self) -> range:
        """Numbers of the calls that were opened."""
        return range(1, self._last + 1, 2)

    def no_more(self) -> None:
        """Send nothing any more; frees who is sending."""
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)  # that of `ssl` would forget the session

    def heard(self) -> Counter[str]:
        """What the node has said against it since it was last asked: refusals, calls cut off, that it has hung up."""
        told, got = Counter[str](), b""
        self.socket.setblocking(False)
        try:
            while len(self._raw) < MOST_HEARD_BYTES and (got := self.socket.recv(1 << 16)):
                self._raw += got
            told["hung up"] += not got
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError:
            told["hung up"] += 1
        with suppress(OSError):
            self.socket.settimeout(PATIENCE_S)
        told.update(said for kind, payload in self._frames() for said in _against(kind, payload))
        return +told

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """Those that have arrived whole."""
        raw, start = self._raw, 0
        while (end := start + 9 + int.from_bytes(raw[start : start + 3], "big")) <= len(raw):
            yield raw[start + 3], raw[start + 9 : end]
            start = end
        self._raw = raw[start:]


def _against(kind: int, payload: bytes) -> Iterator[str]:
    if kind == GOAWAY:
        yield f"GOAWAY {_CODES.get(payload[7], payload[7])} {payload[8:].decode('ascii', 'replace')}".strip()
    elif kind == RST_STREAM and payload[3]:
        yield f"RST_STREAM {_CODES.get(payload[3], payload[3])}"
    elif kind == HEADERS and (said := _said(payload)):
        yield said


def _said(raw: bytes) -> str:
    """The words of a header block; gRPC writes them as they are, as a literal."""
    raw = raw.partition(b"grpc-message")[2]
    start, size = (2, 127 + raw[1]) if raw[:1] == b"\x7f" else (1, raw[0] if raw else 0)
    return _ID.sub("…", unquote(raw[start : start + size].decode("ascii", "replace")))


def _context(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whom it attacks is no secret
    context.set_alpn_protocols(["h2"])
    with tempfile.NamedTemporaryFile() as both:
        Path(both.name).write_bytes(identity.tls_key + identity.certificate)
        context.load_cert_chain(both.name)
    return context
