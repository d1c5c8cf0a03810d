"""Write `docs/api.md` from the comments in `protos/`, or check that it is up to date.

.venv/bin/python scripts/gen_api_docs.py           # write
.venv/bin/python scripts/gen_api_docs.py --check   # exit 1 when it differs
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PAGE = ROOT / "docs" / "api.md"
PACKAGE = "bayesrca.api.v1"
HEAD = f"""# The API, message by message

Generated from the comments in [`protos`](../protos) by `scripts/gen_api_docs.py`: do not edit.
[grpc.md](grpc.md) tells how to use it. Everything here is in the package `{PACKAGE}`.
"""
# Field numbers of what a path into a file's descriptor is made of.
MESSAGES, ENUMS, SERVICES, MEMBERS = 4, 5, 6, 2
SCALARS = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in descriptor_pb2.FieldDescriptorProto.Type.items()
}

Path_ = tuple[int, ...]


def main() -> int:
    """Write or check; return the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    page = "\n".join(lines(described()))
    if not check:
        PAGE.write_text(page, encoding="utf-8")
        print(f"gen_api_docs: {PAGE.relative_to(ROOT)}")
        return 0
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page:
        print("gen_api_docs: docs/api.md lags behind: run `make gen`", file=sys.stderr)
        return 1
    return 0


def described() -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the descriptors of the package's files, with their comments."""
    sources = sorted(PROTOS.glob(f"{PACKAGE.replace('.', '/')}/*.proto"))
    with tempfile.TemporaryDirectory(prefix="bayesrca-docs-") as scratch:
        out = Path(scratch) / "set.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"]
        command += ["--include_source_info", f"--descriptor_set_out={out}", *map(str, sources)]
        subprocess.run(command, check=True, cwd=ROOT)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return list(files)


def lines(files: list[descriptor_pb2.FileDescriptorProto]) -> Iterator[str]:
    """Yield the page: services first, then the messages and enums of each file."""
    yield HEAD
    for file in files:
        comments = comments_of(file)
        for s, service in enumerate(file.service):
            yield f"## {service.name}\n\n{comments[SERVICES, s]}\n"
            for m, method in enumerate(service.method):
                takes, returns = link(method.input_type), link(method.output_type)
                many = "a stream of " if method.server_streaming else ""
                yield f"### {service.name}.{method.name}\n\n{takes} in, {many}{returns} out.\n"
                yield f"{comments[SERVICES, s, MEMBERS, m]}\n"
    for file in files:
        comments = comments_of(file)
        yield f"## {Path(file.name).name}\n"
        for i, enum in enumerate(file.enum_type):
            yield f"### {enum.name}\n\n{comments[ENUMS, i]}\n"
            yield "| value | number | meaning |\n|---|---|---|"
            for j, value in enumerate(enum.value):
                about = cell(comments[ENUMS, i, MEMBERS, j])
                yield f"| `{value.name}` | {value.number} | {about} |"
            yield ""
        for i, message in enumerate(file.message_type):
            yield f"### {message.name}\n\n{comments[MESSAGES, i]}\n"
            if message.field:
                yield "| field | type | number | meaning |\n|---|---|---|---|"
            for j, field in enumerate(message.field):
                about = cell(comments[MESSAGES, i, MEMBERS, j])
                yield f"| `{field.name}` | {type_of(field, message)} | {field.number} | {about} |"
            if message.field:
                yield ""


def comments_of(file: descriptor_pb2.FileDescriptorProto) -> dict[Path_, str]:
    """Return the comment before each element, by the element's path, a paragraph a line."""
    return {
        tuple(location.path): "\n\n".join(
            " ".join(line.strip() for line in part.splitlines())
            for part in location.leading_comments.strip().split("\n\n")
        )
        for location in file.source_code_info.location
        if location.leading_comments
    }


def cell(text: str) -> str:
    """Return text that fits into a cell of a table."""
    return text.replace("\n\n", " ").replace("|", "\\|")


def type_of(
    field: descriptor_pb2.FieldDescriptorProto, message: descriptor_pb2.DescriptorProto
) -> str:
    """Return a field's type in words."""
    kind = link(field.type_name) if field.type_name else f"`{SCALARS[field.type]}`"
    if field.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {kind}"
    if field.proto3_optional:
        return f"optional {kind}"
    if field.HasField("oneof_index"):
        return f"{kind} (one of `{message.oneof_decl[field.oneof_index].name}`)"
    return kind


def link(name: str) -> str:
    """Return a type's name, linked to its section where it has one."""
    short = name.removeprefix(f".{PACKAGE}.")
    if short == name:
        return f"`{name.removeprefix('.')}`"
    return f"[`{short}`](#{short.lower()})"


if __name__ == "__main__":
    sys.exit(main())
