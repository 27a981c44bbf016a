"""The committed stubs are what the contracts generate."""

from __future__ import annotations

from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent


def test_stubs_are_up_to_date(tmp_path: Path) -> None:
    protos = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "protos").rglob("*.proto"))]
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    assert protoc.main(["protoc", f"-I{ROOT}", *outputs, *(str(ROOT / p) for p in protos)]) == 0
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2*"))
    assert len(made) == 3 * len(protos)
    for path in made:
        assert (tmp_path / path).read_bytes() == (ROOT / path).read_bytes(), f"run `make protos`: {path} is old"


def test_contracts_follow_the_style() -> None:
    """One request and one response message for each call; every enum begins with an unspecified value."""
    for path in (ROOT / "protos").rglob("*.proto"):
        text = path.read_text("utf-8")
        assert "package matchbit.v1;" in text
        for line in (line.strip() for line in text.splitlines()):
            if line.startswith("rpc "):
                name = line.split()[1].split("(")[0]
                assert f"{name}Request)" in line
                assert f"{name}Response)" in line
            if line.startswith("service "):
                assert line.split()[1].endswith("Service")
