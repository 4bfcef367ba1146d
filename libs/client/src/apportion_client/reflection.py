"""Methods of a server, learnt from the server itself (gRPC server reflection)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from apportion_client.services import CALL_TIMEOUT_S


class MethodUnknown(LookupError):
    """The server has no such service or method; the message names what it has."""


class ServiceUnknown(MethodUnknown):
    """The server has no such service."""


@dataclass(frozen=True, slots=True)
class Reflected:
    """A method and the messages that it takes and returns."""

    path: str
    request: type[Message]
    response: type[Message]
    takes_stream: bool
    gives_stream: bool
    pool: descriptor_pool.DescriptorPool

    def caller(self, channel: grpc.aio.Channel) -> Callable[..., Any]:
        """Return the method on a channel, as a stub has it."""
        kinds: dict[tuple[bool, bool], Callable[..., Any]] = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        bound: Callable[..., Any] = kinds[self.takes_stream, self.gives_stream](
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.response.FromString,
        )
        return bound


async def reflect(channel: grpc.aio.Channel, service: str, name: str) -> Reflected:
    """Learn a method. Raises MethodUnknown."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    files = await _files(stub, service)
    if not files:
        names = await services_of(channel)
        raise ServiceUnknown(f"There is no service {service} here; there are {', '.join(names)}.")
    pool = descriptor_pool.DescriptorPool()
    for file in _in_order(files):
        pool.Add(file)
    found = pool.FindServiceByName(service)
    method = found.methods_by_name.get(name)
    if method is None:
        raise MethodUnknown(f"{service} has no method {name!r}; it has {', '.join(sorted(found.methods_by_name))}.")
    return Reflected(
        f"/{service}/{name}",
        message_factory.GetMessageClass(method.input_type),
        message_factory.GetMessageClass(method.output_type),
        method.client_streaming,
        method.server_streaming,
        pool,
    )


async def services_of(channel: grpc.aio.Channel) -> list[str]:
    """Return the full names of a server's services."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    known = await _ask(stub, reflection_pb2.ServerReflectionRequest(list_services=""))
    return [item.name for item in known.list_services_response.service]


async def _files(stub: Any, symbol: str) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """Return the file of a symbol and all that it imports, by name; nothing where the symbol is unknown."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    requests = [reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)]
    while requests:
        answer = await _ask(stub, requests.pop())
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            files[file.name] = file
        wanted = {name for file in files.values() for name in file.dependency} - files.keys()
        if not requests and wanted and answer.HasField("file_descriptor_response"):
            requests.append(reflection_pb2.ServerReflectionRequest(file_by_filename=wanted.pop()))
    return files


async def _ask(stub: Any, request: Any) -> Any:
    async def one() -> AsyncIterator[Any]:
        yield request

    async for answer in stub.ServerReflectionInfo(one(), timeout=CALL_TIMEOUT_S):
        return answer
    raise MethodUnknown("The server does not answer reflection.")


def _in_order(files: dict[str, descriptor_pb2.FileDescriptorProto]) -> list[descriptor_pb2.FileDescriptorProto]:
    """Return the files, each after what it imports."""
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def place(name: str) -> None:
        if name not in ordered and name in files:
            for imported in files[name].dependency:
                place(imported)
            ordered[name] = files[name]

    for name in files:
        place(name)
    return list(ordered.values())
