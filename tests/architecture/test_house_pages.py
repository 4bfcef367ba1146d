"""A page token belongs to its question, in every list of every service: whoever adds a list gets it with the server."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import grpc
import pytest
from apportion_common.errors import InvalidArgument
from apportion_common.grpc.interceptors.base import CallChain
from apportion_common.grpc.interceptors.pages import PagesInterceptor, lists_of
from apportion_common.settings import SERVICES
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

MODULES: Final = [importlib.import_module(f"apportion.{name}.v1.{name}_service_pb2") for name in SERVICES]
NAMES: Final = [service.full_name for module in MODULES for service in module.DESCRIPTOR.services_by_name.values()]
LISTS: Final = lists_of(NAMES)
OWN: Final = "WyJ0aGUgbGlzdCdzIG93biJd"
OTHER: Final = {
    FieldDescriptor.CPPTYPE_STRING: "other",
    FieldDescriptor.CPPTYPE_ENUM: 1,
    FieldDescriptor.CPPTYPE_BOOL: True,
}


class Served:
    """A list behind the interceptor: it has always another page, and keeps the tokens that it was given."""

    def __init__(self, name: str) -> None:
        service, _, method_name = name.strip("/").partition("/")
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method_name]
        self.request = message_factory.GetMessageClass(method.input_type)
        self.answer: Any = message_factory.GetMessageClass(method.output_type)
        self.name, self.given = name, list[str]()

    def asking(self, message: Any) -> Any:
        """The part of a request that asks for a page."""
        for part in LISTS[self.name]:
            message = getattr(message, part)
        return message

    async def call(self, request: Any) -> str:
        """The token of the next page."""

        async def handler(message: Any, _: Any) -> Any:
            self.given.append(self.asking(message).page_token)
            return self.answer(next_page_token=OWN)

        async def continuation(_: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(handler)

        async def read() -> Any:
            return request

        chain = CallChain(lambda _: (PagesInterceptor(NAMES),))
        wrapped = await chain.intercept_service(continuation, SimpleNamespace(method=self.name))
        token: str = (await wrapped.stream_unary(None, SimpleNamespace(read=read))).next_page_token
        return token


def leaves(descriptor: Descriptor, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], FieldDescriptor]]:
    """Every field of a request that is no message of ours, with the path to it."""
    for field in descriptor.fields:
        path = (*above, field.name)
        if field.message_type is not None and field.message_type.full_name.startswith("apportion."):
            yield from leaves(field.message_type, path)
        else:
            yield path, field


def filters(name: str) -> list[tuple[tuple[str, ...], FieldDescriptor]]:
    """What a list is asked, beside the page."""
    asking = LISTS[name]
    page = {(*asking, "page_size"), (*asking, "page_token")}
    return [(path, field) for path, field in leaves(Served(name).request.DESCRIPTOR) if path not in page]


def put(message: Any, path: tuple[str, ...], field: FieldDescriptor) -> None:
    """Change a field of a message."""
    for part in path[:-1]:
        message = getattr(message, part)
    if field.message_type is not None:
        nested: Message = getattr(message, field.name)
        nested.SetInParent()
        nested.MergeFrom(type(nested)(seconds=1))  # type: ignore[call-arg]
    elif field.is_repeated:
        getattr(message, field.name).append(OTHER.get(field.cpp_type, 1))
    else:
        setattr(message, field.name, OTHER.get(field.cpp_type, 1))


def test_every_rpc_that_takes_a_page_token_is_a_list_of_the_interceptors() -> None:
    asking = [
        f"/{name}/{method.name}"
        for name in NAMES
        for method in descriptor_pool.Default().FindServiceByName(name).methods
        if any(path[-1] == "page_token" for path, _ in leaves(method.input_type))
    ]
    assert len(asking) > 10
    assert sorted(asking) == sorted(LISTS)


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_token_goes_on_under_its_own_question_with_any_page_size(name: str) -> None:
    served = Served(name)
    request = served.request()
    token = await served.call(request)
    assert len(token) == len(OWN) + 17
    again = served.request()
    served.asking(again).page_token, served.asking(again).page_size = token, 7
    assert await served.call(again) == token
    assert served.given == ["", OWN]


@pytest.mark.parametrize(("name", "path"), [(name, path) for name in LISTS for path, _ in filters(name)])
async def test_a_page_token_does_not_go_on_under_another_filter(name: str, path: tuple[str, ...]) -> None:
    served = Served(name)
    field = dict(filters(name))[path]
    filtered, plain = served.request(), served.request()
    put(filtered, path, field)
    for first, second in ((filtered, plain), (plain, filtered)):
        other = served.request()
        other.CopyFrom(second)
        served.asking(other).page_token = await served.call(first)
        with pytest.raises(InvalidArgument) as rejected:
            await served.call(other)
        assert rejected.value.reason == "PAGE_TOKEN_MISMATCH"
        assert rejected.value.field == ".".join((*LISTS[name], "page_token"))


@pytest.mark.parametrize("name", LISTS)
async def test_a_page_token_of_another_list_or_of_none_does_not_go_on(name: str) -> None:
    served = Served(name)
    another = Served(next(other for other in LISTS if other != name))
    reasons = {await another.call(another.request()): "PAGE_TOKEN_MISMATCH"}
    reasons |= dict.fromkeys((OWN, "x", ".", "a.b", f"{'A' * 16}."), "PAGE_TOKEN_MALFORMED")
    for token, reason in reasons.items():
        request = served.request()
        served.asking(request).page_token = token
        with pytest.raises(InvalidArgument) as rejected:
            await served.call(request)
        assert rejected.value.reason == reason
    assert served.given == []
