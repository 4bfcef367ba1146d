from apportion.common.v1 import audit_pb2 as _audit_pb2
from apportion.options.v1 import options_pb2 as _options_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetJwksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetJwksResponse(_message.Message):
    __slots__ = ("jwks_json",)
    JWKS_JSON_FIELD_NUMBER: _ClassVar[int]
    jwks_json: str
    def __init__(self, jwks_json: _Optional[str] = ...) -> None: ...

class ListAuditRequest(_message.Message):
    __slots__ = ("query",)
    QUERY_FIELD_NUMBER: _ClassVar[int]
    query: _audit_pb2.AuditQuery
    def __init__(self, query: _Optional[_Union[_audit_pb2.AuditQuery, _Mapping]] = ...) -> None: ...

class ListAuditResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_audit_pb2.AuditEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[_audit_pb2.AuditEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreateClaimRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateClaimResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubmitVerificationEmailRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SubmitVerificationEmailResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetClaimRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetClaimResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListClaimsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListClaimsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeClaimRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeClaimResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResolveConflictRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResolveConflictResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetWildcardRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetWildcardResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DelegateSubdomainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DelegateSubdomainResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateInvitationRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateInvitationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AcceptInvitationRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AcceptInvitationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeInvitationRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeInvitationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListInvitationsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListInvitationsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SuggestOrgRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SuggestOrgResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateJoinRequestRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateJoinRequestResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DecideJoinRequestRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DecideJoinRequestResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetMemberRoleRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetMemberRoleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveMemberRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveMemberResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetGlobalSettingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetGlobalSettingResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetGlobalSettingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetGlobalSettingResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateServiceAccountRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateServiceAccountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeServiceAccountRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeServiceAccountResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IssueTokenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IssueTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExchangeTokenRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ExchangeTokenResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
