import datetime

from apportion.common.v1 import audit_pb2 as _audit_pb2
from apportion.options.v1 import options_pb2 as _options_pb2
from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClaimStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLAIM_STATUS_UNSPECIFIED: _ClassVar[ClaimStatus]
    CLAIM_STATUS_PENDING: _ClassVar[ClaimStatus]
    CLAIM_STATUS_VERIFIED: _ClassVar[ClaimStatus]
    CLAIM_STATUS_REVOKED: _ClassVar[ClaimStatus]
    CLAIM_STATUS_PENDING_CONFLICT: _ClassVar[ClaimStatus]

class VerificationOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERIFICATION_OUTCOME_UNSPECIFIED: _ClassVar[VerificationOutcome]
    VERIFICATION_OUTCOME_VERIFIED: _ClassVar[VerificationOutcome]
    VERIFICATION_OUTCOME_CONFLICT: _ClassVar[VerificationOutcome]
    VERIFICATION_OUTCOME_REJECTED: _ClassVar[VerificationOutcome]

class MemberRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBER_ROLE_UNSPECIFIED: _ClassVar[MemberRole]
    MEMBER_ROLE_OWNER: _ClassVar[MemberRole]
    MEMBER_ROLE_ADMIN: _ClassVar[MemberRole]
    MEMBER_ROLE_USER: _ClassVar[MemberRole]

class InvitationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INVITATION_STATE_UNSPECIFIED: _ClassVar[InvitationState]
    INVITATION_STATE_LIVE: _ClassVar[InvitationState]
    INVITATION_STATE_EXPIRED: _ClassVar[InvitationState]
    INVITATION_STATE_CONSUMED: _ClassVar[InvitationState]
    INVITATION_STATE_REVOKED: _ClassVar[InvitationState]

class JoinRequestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOIN_REQUEST_STATE_UNSPECIFIED: _ClassVar[JoinRequestState]
    JOIN_REQUEST_STATE_PENDING: _ClassVar[JoinRequestState]
    JOIN_REQUEST_STATE_APPROVED: _ClassVar[JoinRequestState]
    JOIN_REQUEST_STATE_DENIED: _ClassVar[JoinRequestState]

class ConflictState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFLICT_STATE_UNSPECIFIED: _ClassVar[ConflictState]
    CONFLICT_STATE_OPEN: _ClassVar[ConflictState]
    CONFLICT_STATE_RESOLVED: _ClassVar[ConflictState]
CLAIM_STATUS_UNSPECIFIED: ClaimStatus
CLAIM_STATUS_PENDING: ClaimStatus
CLAIM_STATUS_VERIFIED: ClaimStatus
CLAIM_STATUS_REVOKED: ClaimStatus
CLAIM_STATUS_PENDING_CONFLICT: ClaimStatus
VERIFICATION_OUTCOME_UNSPECIFIED: VerificationOutcome
VERIFICATION_OUTCOME_VERIFIED: VerificationOutcome
VERIFICATION_OUTCOME_CONFLICT: VerificationOutcome
VERIFICATION_OUTCOME_REJECTED: VerificationOutcome
MEMBER_ROLE_UNSPECIFIED: MemberRole
MEMBER_ROLE_OWNER: MemberRole
MEMBER_ROLE_ADMIN: MemberRole
MEMBER_ROLE_USER: MemberRole
INVITATION_STATE_UNSPECIFIED: InvitationState
INVITATION_STATE_LIVE: InvitationState
INVITATION_STATE_EXPIRED: InvitationState
INVITATION_STATE_CONSUMED: InvitationState
INVITATION_STATE_REVOKED: InvitationState
JOIN_REQUEST_STATE_UNSPECIFIED: JoinRequestState
JOIN_REQUEST_STATE_PENDING: JoinRequestState
JOIN_REQUEST_STATE_APPROVED: JoinRequestState
JOIN_REQUEST_STATE_DENIED: JoinRequestState
CONFLICT_STATE_UNSPECIFIED: ConflictState
CONFLICT_STATE_OPEN: ConflictState
CONFLICT_STATE_RESOLVED: ConflictState

class GetJwksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetJwksResponse(_message.Message):
    __slots__ = ("jwks_json",)
    JWKS_JSON_FIELD_NUMBER: _ClassVar[int]
    jwks_json: str
    def __init__(self, jwks_json: _Optional[str] = ...) -> None: ...

class RotateSigningKeyRequest(_message.Message):
    __slots__ = ("reason", "request_id", "leaked")
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LEAKED_FIELD_NUMBER: _ClassVar[int]
    reason: str
    request_id: str
    leaked: bool
    def __init__(self, reason: _Optional[str] = ..., request_id: _Optional[str] = ..., leaked: _Optional[bool] = ...) -> None: ...

class RotateSigningKeyResponse(_message.Message):
    __slots__ = ("kid", "signs_from")
    KID_FIELD_NUMBER: _ClassVar[int]
    SIGNS_FROM_FIELD_NUMBER: _ClassVar[int]
    kid: str
    signs_from: _timestamp_pb2.Timestamp
    def __init__(self, kid: _Optional[str] = ..., signs_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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

class Delegation(_message.Message):
    __slots__ = ("domain", "org_id", "delegated_at")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    DELEGATED_AT_FIELD_NUMBER: _ClassVar[int]
    domain: str
    org_id: str
    delegated_at: _timestamp_pb2.Timestamp
    def __init__(self, domain: _Optional[str] = ..., org_id: _Optional[str] = ..., delegated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DomainClaim(_message.Message):
    __slots__ = ("claim_id", "org_id", "domain", "status", "wildcard", "created_at", "verified_at", "token_expires_at", "delegations")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WILDCARD_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_AT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    DELEGATIONS_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    org_id: str
    domain: str
    status: ClaimStatus
    wildcard: bool
    created_at: _timestamp_pb2.Timestamp
    verified_at: _timestamp_pb2.Timestamp
    token_expires_at: _timestamp_pb2.Timestamp
    delegations: _containers.RepeatedCompositeFieldContainer[Delegation]
    def __init__(self, claim_id: _Optional[str] = ..., org_id: _Optional[str] = ..., domain: _Optional[str] = ..., status: _Optional[_Union[ClaimStatus, str]] = ..., wildcard: _Optional[bool] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., verified_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., token_expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., delegations: _Optional[_Iterable[_Union[Delegation, _Mapping]]] = ...) -> None: ...

class CreateClaimRequest(_message.Message):
    __slots__ = ("org_id", "domain", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    domain: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., domain: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateClaimResponse(_message.Message):
    __slots__ = ("claim", "mail_to")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    MAIL_TO_FIELD_NUMBER: _ClassVar[int]
    claim: DomainClaim
    mail_to: str
    def __init__(self, claim: _Optional[_Union[DomainClaim, _Mapping]] = ..., mail_to: _Optional[str] = ...) -> None: ...

class RenewClaimTokenRequest(_message.Message):
    __slots__ = ("org_id", "claim_id", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    claim_id: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RenewClaimTokenResponse(_message.Message):
    __slots__ = ("claim", "mail_to")
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    MAIL_TO_FIELD_NUMBER: _ClassVar[int]
    claim: DomainClaim
    mail_to: str
    def __init__(self, claim: _Optional[_Union[DomainClaim, _Mapping]] = ..., mail_to: _Optional[str] = ...) -> None: ...

class SubmitVerificationEmailRequest(_message.Message):
    __slots__ = ("message", "client_ip", "helo", "mail_from", "rcpt_to", "request_id")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CLIENT_IP_FIELD_NUMBER: _ClassVar[int]
    HELO_FIELD_NUMBER: _ClassVar[int]
    MAIL_FROM_FIELD_NUMBER: _ClassVar[int]
    RCPT_TO_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    message: bytes
    client_ip: str
    helo: str
    mail_from: str
    rcpt_to: str
    request_id: str
    def __init__(self, message: _Optional[bytes] = ..., client_ip: _Optional[str] = ..., helo: _Optional[str] = ..., mail_from: _Optional[str] = ..., rcpt_to: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class DkimFinding(_message.Message):
    __slots__ = ("domain", "selector", "result", "reason")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    domain: str
    selector: str
    result: str
    reason: str
    def __init__(self, domain: _Optional[str] = ..., selector: _Optional[str] = ..., result: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class MailEvidence(_message.Message):
    __slots__ = ("from_domain", "spf_result", "spf_domain", "dkim", "dmarc_policy", "organizational_domain", "aligned_by_dkim", "aligned_by_spf")
    FROM_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SPF_RESULT_FIELD_NUMBER: _ClassVar[int]
    SPF_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DKIM_FIELD_NUMBER: _ClassVar[int]
    DMARC_POLICY_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATIONAL_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ALIGNED_BY_DKIM_FIELD_NUMBER: _ClassVar[int]
    ALIGNED_BY_SPF_FIELD_NUMBER: _ClassVar[int]
    from_domain: str
    spf_result: str
    spf_domain: str
    dkim: _containers.RepeatedCompositeFieldContainer[DkimFinding]
    dmarc_policy: str
    organizational_domain: str
    aligned_by_dkim: bool
    aligned_by_spf: bool
    def __init__(self, from_domain: _Optional[str] = ..., spf_result: _Optional[str] = ..., spf_domain: _Optional[str] = ..., dkim: _Optional[_Iterable[_Union[DkimFinding, _Mapping]]] = ..., dmarc_policy: _Optional[str] = ..., organizational_domain: _Optional[str] = ..., aligned_by_dkim: _Optional[bool] = ..., aligned_by_spf: _Optional[bool] = ...) -> None: ...

class SubmitVerificationEmailResponse(_message.Message):
    __slots__ = ("outcome", "reason", "explanation", "claim_id", "evidence")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    outcome: VerificationOutcome
    reason: str
    explanation: str
    claim_id: str
    evidence: MailEvidence
    def __init__(self, outcome: _Optional[_Union[VerificationOutcome, str]] = ..., reason: _Optional[str] = ..., explanation: _Optional[str] = ..., claim_id: _Optional[str] = ..., evidence: _Optional[_Union[MailEvidence, _Mapping]] = ...) -> None: ...

class InspectDomainRequest(_message.Message):
    __slots__ = ("domain", "selector")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    domain: str
    selector: str
    def __init__(self, domain: _Optional[str] = ..., selector: _Optional[str] = ...) -> None: ...

class RecordFinding(_message.Message):
    __slots__ = ("name", "kind", "value", "state", "advice")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    value: str
    state: str
    advice: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., value: _Optional[str] = ..., state: _Optional[str] = ..., advice: _Optional[str] = ...) -> None: ...

class InspectDomainResponse(_message.Message):
    __slots__ = ("domain", "organizational_domain", "claimable", "reason", "records", "advice")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATIONAL_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    CLAIMABLE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    organizational_domain: str
    claimable: bool
    reason: str
    records: _containers.RepeatedCompositeFieldContainer[RecordFinding]
    advice: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, domain: _Optional[str] = ..., organizational_domain: _Optional[str] = ..., claimable: _Optional[bool] = ..., reason: _Optional[str] = ..., records: _Optional[_Iterable[_Union[RecordFinding, _Mapping]]] = ..., advice: _Optional[_Iterable[str]] = ...) -> None: ...

class GetClaimRequest(_message.Message):
    __slots__ = ("org_id", "claim_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    claim_id: str
    def __init__(self, org_id: _Optional[str] = ..., claim_id: _Optional[str] = ...) -> None: ...

class GetClaimResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: DomainClaim
    def __init__(self, claim: _Optional[_Union[DomainClaim, _Mapping]] = ...) -> None: ...

class ListClaimsRequest(_message.Message):
    __slots__ = ("org_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListClaimsResponse(_message.Message):
    __slots__ = ("claims", "next_page_token")
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    claims: _containers.RepeatedCompositeFieldContainer[DomainClaim]
    next_page_token: str
    def __init__(self, claims: _Optional[_Iterable[_Union[DomainClaim, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeClaimRequest(_message.Message):
    __slots__ = ("org_id", "claim_id", "reason", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    claim_id: str
    reason: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeClaimResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: DomainClaim
    def __init__(self, claim: _Optional[_Union[DomainClaim, _Mapping]] = ...) -> None: ...

class ClaimConflict(_message.Message):
    __slots__ = ("conflict_id", "claim", "against", "claim_proved", "against_proved", "state", "opened_at", "due_at", "escalated_at", "resolution", "resolved_by", "resolved_at")
    CONFLICT_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    AGAINST_FIELD_NUMBER: _ClassVar[int]
    CLAIM_PROVED_FIELD_NUMBER: _ClassVar[int]
    AGAINST_PROVED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    ESCALATED_AT_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_BY_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    conflict_id: str
    claim: DomainClaim
    against: DomainClaim
    claim_proved: bool
    against_proved: bool
    state: ConflictState
    opened_at: _timestamp_pb2.Timestamp
    due_at: _timestamp_pb2.Timestamp
    escalated_at: _timestamp_pb2.Timestamp
    resolution: str
    resolved_by: str
    resolved_at: _timestamp_pb2.Timestamp
    def __init__(self, conflict_id: _Optional[str] = ..., claim: _Optional[_Union[DomainClaim, _Mapping]] = ..., against: _Optional[_Union[DomainClaim, _Mapping]] = ..., claim_proved: _Optional[bool] = ..., against_proved: _Optional[bool] = ..., state: _Optional[_Union[ConflictState, str]] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., escalated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolution: _Optional[str] = ..., resolved_by: _Optional[str] = ..., resolved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListConflictsRequest(_message.Message):
    __slots__ = ("include_resolved", "overdue_only", "page_size", "page_token")
    INCLUDE_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    OVERDUE_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    include_resolved: bool
    overdue_only: bool
    page_size: int
    page_token: str
    def __init__(self, include_resolved: _Optional[bool] = ..., overdue_only: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConflictsResponse(_message.Message):
    __slots__ = ("conflicts", "next_page_token")
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    conflicts: _containers.RepeatedCompositeFieldContainer[ClaimConflict]
    next_page_token: str
    def __init__(self, conflicts: _Optional[_Iterable[_Union[ClaimConflict, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ResolveConflictRequest(_message.Message):
    __slots__ = ("conflict_id", "winner_claim_id", "reason", "request_id")
    CONFLICT_ID_FIELD_NUMBER: _ClassVar[int]
    WINNER_CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    conflict_id: str
    winner_claim_id: str
    reason: str
    request_id: str
    def __init__(self, conflict_id: _Optional[str] = ..., winner_claim_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResolveConflictResponse(_message.Message):
    __slots__ = ("conflict",)
    CONFLICT_FIELD_NUMBER: _ClassVar[int]
    conflict: ClaimConflict
    def __init__(self, conflict: _Optional[_Union[ClaimConflict, _Mapping]] = ...) -> None: ...

class SetWildcardRequest(_message.Message):
    __slots__ = ("org_id", "claim_id", "wildcard", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    WILDCARD_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    claim_id: str
    wildcard: bool
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., wildcard: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetWildcardResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: DomainClaim
    def __init__(self, claim: _Optional[_Union[DomainClaim, _Mapping]] = ...) -> None: ...

class DelegateSubdomainRequest(_message.Message):
    __slots__ = ("org_id", "claim_id", "domain", "subsidiary_org_id", "withdraw", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SUBSIDIARY_ORG_ID_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    claim_id: str
    domain: str
    subsidiary_org_id: str
    withdraw: bool
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., claim_id: _Optional[str] = ..., domain: _Optional[str] = ..., subsidiary_org_id: _Optional[str] = ..., withdraw: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class DelegateSubdomainResponse(_message.Message):
    __slots__ = ("claim",)
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    claim: DomainClaim
    def __init__(self, claim: _Optional[_Union[DomainClaim, _Mapping]] = ...) -> None: ...

class Invitation(_message.Message):
    __slots__ = ("invitation_id", "org_id", "email", "role", "state", "created_at", "expires_at", "invited_by")
    INVITATION_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    INVITED_BY_FIELD_NUMBER: _ClassVar[int]
    invitation_id: str
    org_id: str
    email: str
    role: MemberRole
    state: InvitationState
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    invited_by: str
    def __init__(self, invitation_id: _Optional[str] = ..., org_id: _Optional[str] = ..., email: _Optional[str] = ..., role: _Optional[_Union[MemberRole, str]] = ..., state: _Optional[_Union[InvitationState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., invited_by: _Optional[str] = ...) -> None: ...

class CreateInvitationRequest(_message.Message):
    __slots__ = ("org_id", "email", "role", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    email: str
    role: MemberRole
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., email: _Optional[str] = ..., role: _Optional[_Union[MemberRole, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateInvitationResponse(_message.Message):
    __slots__ = ("invitation", "token")
    INVITATION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    invitation: Invitation
    token: str
    def __init__(self, invitation: _Optional[_Union[Invitation, _Mapping]] = ..., token: _Optional[str] = ...) -> None: ...

class AcceptInvitationRequest(_message.Message):
    __slots__ = ("token", "request_id")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    token: str
    request_id: str
    def __init__(self, token: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class AcceptInvitationResponse(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: Member
    def __init__(self, member: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class RevokeInvitationRequest(_message.Message):
    __slots__ = ("org_id", "invitation_id", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    INVITATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    invitation_id: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., invitation_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeInvitationResponse(_message.Message):
    __slots__ = ("invitation",)
    INVITATION_FIELD_NUMBER: _ClassVar[int]
    invitation: Invitation
    def __init__(self, invitation: _Optional[_Union[Invitation, _Mapping]] = ...) -> None: ...

class ListInvitationsRequest(_message.Message):
    __slots__ = ("org_id", "live_only", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    LIVE_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    live_only: bool
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., live_only: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListInvitationsResponse(_message.Message):
    __slots__ = ("invitations", "next_page_token")
    INVITATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    invitations: _containers.RepeatedCompositeFieldContainer[Invitation]
    next_page_token: str
    def __init__(self, invitations: _Optional[_Iterable[_Union[Invitation, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SuggestOrgRequest(_message.Message):
    __slots__ = ("email",)
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    email: str
    def __init__(self, email: _Optional[str] = ...) -> None: ...

class SuggestOrgResponse(_message.Message):
    __slots__ = ("may_ask_to_join",)
    MAY_ASK_TO_JOIN_FIELD_NUMBER: _ClassVar[int]
    may_ask_to_join: bool
    def __init__(self, may_ask_to_join: _Optional[bool] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("join_request_id", "email", "state", "created_at", "decided_at", "decided_by")
    JOIN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    DECIDED_BY_FIELD_NUMBER: _ClassVar[int]
    join_request_id: str
    email: str
    state: JoinRequestState
    created_at: _timestamp_pb2.Timestamp
    decided_at: _timestamp_pb2.Timestamp
    decided_by: str
    def __init__(self, join_request_id: _Optional[str] = ..., email: _Optional[str] = ..., state: _Optional[_Union[JoinRequestState, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_by: _Optional[str] = ...) -> None: ...

class CreateJoinRequestRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class CreateJoinRequestResponse(_message.Message):
    __slots__ = ("join_request_id", "state")
    JOIN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    join_request_id: str
    state: JoinRequestState
    def __init__(self, join_request_id: _Optional[str] = ..., state: _Optional[_Union[JoinRequestState, str]] = ...) -> None: ...

class ListJoinRequestsRequest(_message.Message):
    __slots__ = ("org_id", "pending_only", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PENDING_ONLY_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    pending_only: bool
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., pending_only: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListJoinRequestsResponse(_message.Message):
    __slots__ = ("join_requests", "next_page_token")
    JOIN_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    join_requests: _containers.RepeatedCompositeFieldContainer[JoinRequest]
    next_page_token: str
    def __init__(self, join_requests: _Optional[_Iterable[_Union[JoinRequest, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DecideJoinRequestRequest(_message.Message):
    __slots__ = ("org_id", "join_request_id", "approve", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    JOIN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APPROVE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    join_request_id: str
    approve: bool
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., join_request_id: _Optional[str] = ..., approve: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class DecideJoinRequestResponse(_message.Message):
    __slots__ = ("join_request",)
    JOIN_REQUEST_FIELD_NUMBER: _ClassVar[int]
    join_request: JoinRequest
    def __init__(self, join_request: _Optional[_Union[JoinRequest, _Mapping]] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("org_id", "user_id", "email", "role")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    user_id: str
    email: str
    role: MemberRole
    def __init__(self, org_id: _Optional[str] = ..., user_id: _Optional[str] = ..., email: _Optional[str] = ..., role: _Optional[_Union[MemberRole, str]] = ...) -> None: ...

class ListMembersRequest(_message.Message):
    __slots__ = ("org_id", "page_size", "page_token")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    page_size: int
    page_token: str
    def __init__(self, org_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMembersResponse(_message.Message):
    __slots__ = ("members", "next_page_token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    next_page_token: str
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SetMemberRoleRequest(_message.Message):
    __slots__ = ("org_id", "user_id", "role", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    user_id: str
    role: MemberRole
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., user_id: _Optional[str] = ..., role: _Optional[_Union[MemberRole, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetMemberRoleResponse(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: Member
    def __init__(self, member: _Optional[_Union[Member, _Mapping]] = ...) -> None: ...

class RemoveMemberRequest(_message.Message):
    __slots__ = ("org_id", "user_id", "request_id")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    user_id: str
    request_id: str
    def __init__(self, org_id: _Optional[str] = ..., user_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RemoveMemberResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GlobalSetting(_message.Message):
    __slots__ = ("key", "value", "value_type", "updated_at", "description")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VALUE_TYPE_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    value_type: str
    updated_at: _timestamp_pb2.Timestamp
    description: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., value_type: _Optional[str] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., description: _Optional[str] = ...) -> None: ...

class ListGlobalSettingsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListGlobalSettingsResponse(_message.Message):
    __slots__ = ("settings",)
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    settings: _containers.RepeatedCompositeFieldContainer[GlobalSetting]
    def __init__(self, settings: _Optional[_Iterable[_Union[GlobalSetting, _Mapping]]] = ...) -> None: ...

class GetGlobalSettingRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class GetGlobalSettingResponse(_message.Message):
    __slots__ = ("setting",)
    SETTING_FIELD_NUMBER: _ClassVar[int]
    setting: GlobalSetting
    def __init__(self, setting: _Optional[_Union[GlobalSetting, _Mapping]] = ...) -> None: ...

class SetGlobalSettingRequest(_message.Message):
    __slots__ = ("key", "value", "reason", "request_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    reason: str
    request_id: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetGlobalSettingResponse(_message.Message):
    __slots__ = ("setting",)
    SETTING_FIELD_NUMBER: _ClassVar[int]
    setting: GlobalSetting
    def __init__(self, setting: _Optional[_Union[GlobalSetting, _Mapping]] = ...) -> None: ...

class ServiceAccount(_message.Message):
    __slots__ = ("account_id", "name", "roles", "created_by", "created_at", "revoked_at")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    created_by: str
    created_at: _timestamp_pb2.Timestamp
    revoked_at: _timestamp_pb2.Timestamp
    def __init__(self, account_id: _Optional[str] = ..., name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., created_by: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateServiceAccountRequest(_message.Message):
    __slots__ = ("name", "roles", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, name: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateServiceAccountResponse(_message.Message):
    __slots__ = ("account", "key")
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    account: ServiceAccount
    key: str
    def __init__(self, account: _Optional[_Union[ServiceAccount, _Mapping]] = ..., key: _Optional[str] = ...) -> None: ...

class ListServiceAccountsRequest(_message.Message):
    __slots__ = ("include_revoked", "page_size", "page_token")
    INCLUDE_REVOKED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    include_revoked: bool
    page_size: int
    page_token: str
    def __init__(self, include_revoked: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListServiceAccountsResponse(_message.Message):
    __slots__ = ("accounts", "next_page_token")
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    accounts: _containers.RepeatedCompositeFieldContainer[ServiceAccount]
    next_page_token: str
    def __init__(self, accounts: _Optional[_Iterable[_Union[ServiceAccount, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RevokeServiceAccountRequest(_message.Message):
    __slots__ = ("account_id", "reason", "request_id")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    reason: str
    request_id: str
    def __init__(self, account_id: _Optional[str] = ..., reason: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeServiceAccountResponse(_message.Message):
    __slots__ = ("account",)
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    account: ServiceAccount
    def __init__(self, account: _Optional[_Union[ServiceAccount, _Mapping]] = ...) -> None: ...

class IssueTokenRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class IssueTokenResponse(_message.Message):
    __slots__ = ("access_token", "expires_at")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    expires_at: _timestamp_pb2.Timestamp
    def __init__(self, access_token: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ExchangeTokenRequest(_message.Message):
    __slots__ = ("id_token", "org_id", "nonce")
    ID_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    id_token: str
    org_id: str
    nonce: str
    def __init__(self, id_token: _Optional[str] = ..., org_id: _Optional[str] = ..., nonce: _Optional[str] = ...) -> None: ...

class ExchangeTokenResponse(_message.Message):
    __slots__ = ("access_token", "expires_at", "user_id", "org_id", "role")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    expires_at: _timestamp_pb2.Timestamp
    user_id: str
    org_id: str
    role: MemberRole
    def __init__(self, access_token: _Optional[str] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., user_id: _Optional[str] = ..., org_id: _Optional[str] = ..., role: _Optional[_Union[MemberRole, str]] = ...) -> None: ...

class ClaimChanged(_message.Message):
    __slots__ = ("claim_id", "org_id", "domain", "status", "wildcard")
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WILDCARD_FIELD_NUMBER: _ClassVar[int]
    claim_id: str
    org_id: str
    domain: str
    status: ClaimStatus
    wildcard: bool
    def __init__(self, claim_id: _Optional[str] = ..., org_id: _Optional[str] = ..., domain: _Optional[str] = ..., status: _Optional[_Union[ClaimStatus, str]] = ..., wildcard: _Optional[bool] = ...) -> None: ...

class ClaimConflictOpened(_message.Message):
    __slots__ = ("conflict_id", "domain", "opened_at", "due_at", "escalation")
    CONFLICT_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    conflict_id: str
    domain: str
    opened_at: _timestamp_pb2.Timestamp
    due_at: _timestamp_pb2.Timestamp
    escalation: int
    def __init__(self, conflict_id: _Optional[str] = ..., domain: _Optional[str] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., escalation: _Optional[int] = ...) -> None: ...

class MembershipChanged(_message.Message):
    __slots__ = ("org_id", "user_id", "role")
    ORG_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    org_id: str
    user_id: str
    role: MemberRole
    def __init__(self, org_id: _Optional[str] = ..., user_id: _Optional[str] = ..., role: _Optional[_Union[MemberRole, str]] = ...) -> None: ...

class ServiceAccountRevoked(_message.Message):
    __slots__ = ("account_id", "revoked_at")
    ACCOUNT_ID_FIELD_NUMBER: _ClassVar[int]
    REVOKED_AT_FIELD_NUMBER: _ClassVar[int]
    account_id: str
    revoked_at: _timestamp_pb2.Timestamp
    def __init__(self, account_id: _Optional[str] = ..., revoked_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
