"""Generate the stubs package from proto/: messages, services, typing.

`python scripts/gen_protos.py` writes proto/gen/src; with `--check` it writes to a temporary folder and
fails when the checked-in code differs. `--image FILE` writes the descriptor image that buf lints.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import google.api.field_behavior_pb2
import grpc_tools
from protovalidate._gen.buf.validate import validate_pb

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
OUT = PROTO / "gen" / "src"
# googleapis-common-protos ships the .proto text beside its modules.
GOOGLE = pathlib.Path(str(google.api.field_behavior_pb2.__file__)).resolve().parents[2]


def protoc(*args: str) -> None:
    """Run protoc through grpcio-tools; raise when it refuses."""
    # The plugins lie beside the interpreter, which need not be on the PATH.
    path = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *args], check=True, env={**os.environ, "PATH": path})


def validate_descriptor(folder: pathlib.Path) -> pathlib.Path:
    """Write protovalidate's own rule definitions as a descriptor set: its package ships no .proto text."""
    file = validate_pb.desc().proto.to_binary()
    size, varint = len(file), bytearray()
    while size > 0x7F:
        varint.append(size & 0x7F | 0x80)
        size >>= 7
    varint.append(size)
    path = folder / "validate.binpb"
    google_set = folder / "google.binpb"
    protoc(
        f"-I{PROTO}",
        f"-I{GOOGLE}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={google_set}",
        *GOOGLE_FILES,
    )
    # A FileDescriptorSet is a repeated field 1, so sets concatenate.
    path.write_bytes(google_set.read_bytes() + b"\x0a" + bytes(varint) + file)
    return path


GOOGLE_FILES = [
    "google/protobuf/any.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/rpc/status.proto",
    "google/type/decimal.proto",
    "google/type/money.proto",
]


def sources() -> list[str]:
    """Names of our own proto files, relative to proto/."""
    return sorted(str(p.relative_to(PROTO)) for p in (PROTO / "apportion").rglob("*.proto"))


def image(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Write one self-contained descriptor image with source info."""
    rules = validate_descriptor(folder)
    ours = folder / "ours.binpb"
    google_protobuf = pathlib.Path(str(grpc_tools.__file__)).parent / "_proto"
    protoc(
        f"--descriptor_set_in={rules}",
        f"-I{PROTO}",
        f"-I{google_protobuf}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={ours}",
        *sources(),
    )
    shutil.copy(ours, path)


def generate(out: pathlib.Path, folder: pathlib.Path) -> None:
    """Generate messages, service stubs and their types into `out`."""
    rules = validate_descriptor(folder)
    out.mkdir(parents=True, exist_ok=True)
    protoc(
        f"--descriptor_set_in={rules}",
        f"-I{PROTO}",
        f"--python_out={out}",
        f"--pyi_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=readable_stubs,quiet,generate_concrete_servicer_stubs:{out}",
        "buf/validate/validate.proto",
        *sources(),
    )
    for package in sorted({p.parent for p in out.rglob("*_pb2.py")}):
        (package / "py.typed").touch()
    for empty in out.rglob("*_pb2_grpc.py"):
        if "class " not in empty.read_text():
            empty.unlink()
            empty.with_suffix(".pyi").unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when the checked-in stubs are stale")
    parser.add_argument("--image", type=pathlib.Path, help="write a descriptor image for buf and stop")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if args.image:
            image(args.image, folder)
            return 0
        fresh = folder / "src"
        generate(fresh, folder)
        new = {p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file()}
        old = {p.relative_to(OUT) for p in OUT.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
        changed = sorted(new ^ old | {p for p in new & old if not filecmp.cmp(fresh / p, OUT / p, shallow=False)})
        if args.check:
            for path in changed:
                print(f"stale: proto/gen/src/{path}")
            return 1 if changed else 0
        shutil.rmtree(OUT, ignore_errors=True)
        shutil.copytree(fresh, OUT)
        print(f"{len(new)} files, {len(changed)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
