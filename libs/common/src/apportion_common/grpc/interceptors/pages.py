"""Ties the page tokens of every list to their question: none can forget it, as none does it itself.

A list's answer leaves with the digest of its question in front of its token; a request with a token is let in only
under the same question, and its handler sees the token that it made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message

from apportion_common.grpc.interceptors.base import Call, CallInterceptor
from apportion_common.grpc.policy import ContractError
from apportion_common.pages import bound_token, question_digest, unbound_token

PAGE: Final = "page_token"
NEXT_PAGE: Final = "next_page_token"
PAGE_SIZE: Final = "page_size"

_question: ContextVar[str] = ContextVar("question of a list", default="")


class PagesInterceptor(CallInterceptor):
    """Stands innermost, so that what comes to it is allowed, and what it passes on is what handlers see."""

    def __init__(self, service_names: Iterable[str]) -> None:
        """Find the lists of those services. Raises ContractError for one that cannot be tied to its question."""
        super().__init__()
        self._lists = lists_of(service_names)

    async def admit(self, call: Call, message: Any) -> None:
        """Take the question off the token. Raises InvalidArgument PAGE_TOKEN_MALFORMED, PAGE_TOKEN_MISMATCH."""
        path = self._lists.get(call.method.full_name)
        if path is None:
            return
        asking = _within(message, path)
        question = digest_of(call.method.full_name, message, path)
        _question.set(question)
        if getattr(asking, PAGE):
            inner = unbound_token(getattr(asking, PAGE), question, field=".".join((*path, PAGE)))
            setattr(asking, PAGE, inner)

    async def unary(self, call: Call, work: Callable[[], Awaitable[Any]]) -> Any:
        """Put the question onto the answer's token."""
        answer = await work()
        if call.method.full_name in self._lists and answer.next_page_token:
            answer.next_page_token = bound_token(answer.next_page_token, _question.get())
        return answer


def lists_of(service_names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return every list of those services by its full name, with the path to the part of its request that asks for a
    page: empty where it is the request itself.

    Raises ContractError for an answer with a page token whose request does not take exactly one.
    """
    found = {}
    for service_name in service_names:
        for method in descriptor_pool.Default().FindServiceByName(service_name).methods:
            if NEXT_PAGE in method.output_type.fields_by_name:
                found[f"/{service_name}/{method.name}"] = _path_of(method)
    return found


def digest_of(method: str, request: Message, path: tuple[str, ...]) -> str:
    """Return the digest of a list's question: all of the request but which page of it, and how long."""
    question = type(request)()
    question.CopyFrom(request)
    asking = _within(question, path)
    asking.ClearField(PAGE)
    asking.ClearField(PAGE_SIZE)
    return question_digest(method, question.SerializeToString(deterministic=True))


def _path_of(method: MethodDescriptor) -> tuple[str, ...]:
    paths = list(_paths(method.input_type, ()))
    if len(paths) != 1 or method.client_streaming or method.server_streaming:
        raise ContractError(f"{method.full_name} answers with a page token and has to take exactly one.")
    return paths[0]


def _paths(message: Descriptor, above: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if PAGE in message.fields_by_name and PAGE_SIZE in message.fields_by_name:
        yield above
    for field in message.fields:
        if field.message_type is not None and not field.is_repeated and field.name not in above:
            yield from _paths(field.message_type, (*above, field.name))


def _within(message: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        message = getattr(message, name)
    return message
