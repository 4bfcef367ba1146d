"""The rejections of identity beside those of its domain rules."""

from __future__ import annotations

from apportion_common.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
)

from apportion_identity.limits import DELEGATIONS_MAX, MESSAGE_BYTES_MAX


def claim_not_found() -> NotFound:
    """Return the rejection: the organisation has no claim with the id; another's is not told from none."""
    return NotFound("CLAIM_NOT_FOUND", "The organisation has no such claim.", field="claim_id")


def claim_exists() -> AlreadyExists:
    """Return the rejection: the organisation claims the name already."""
    return AlreadyExists(
        "CLAIM_EXISTS",
        "The organisation has a live claim of this domain already; renew its address if that is lost.",
        field="domain",
    )


def claim_rate_limited(retry_after_s: int) -> ResourceExhausted:
    """Return the rejection: the organisation has made its claims of the day."""
    return ResourceExhausted(
        "CLAIM_RATE_LIMITED",
        "The organisation has made as many claims today as it may; a day is UTC.",
        retry_after_s=retry_after_s,
    )


def claim_not_pending() -> FailedPrecondition:
    """Return the rejection: the claim is proved or revoked: nothing is to be mailed for it."""
    return FailedPrecondition("CLAIM_NOT_PENDING", "The claim waits for no mail any more.")


def claim_revoked() -> FailedPrecondition:
    """Return the rejection: the claim was given up or has ended."""
    return FailedPrecondition("CLAIM_REVOKED", "The claim is revoked already.")


def claim_not_verified() -> FailedPrecondition:
    """Return the rejection: only a verified claim allows it."""
    return FailedPrecondition("CLAIM_NOT_VERIFIED", "The claim is not verified; prove the domain first.")


def claim_not_root() -> FailedPrecondition:
    """Return the rejection: the claim is of a name below the registered domain."""
    return FailedPrecondition(
        "CLAIM_NOT_ROOT", "Only the claim of the registered domain itself is extended to the names below it."
    )


def wildcard_conflict() -> FailedPrecondition:
    """Return the rejection: a verified claim below belongs to somebody else, who is not named."""
    return FailedPrecondition(
        "WILDCARD_CONFLICT", "A name below the domain is verified elsewhere; ask the platform's operators to settle it."
    )


def second_factor_required() -> PermissionDenied:
    """Return the rejection: the token says nothing of a second factor."""
    return PermissionDenied(
        "SECOND_FACTOR_REQUIRED", "Sign in with a second factor, then ask again with the new token."
    )


def not_a_subdomain() -> InvalidArgument:
    """Return the rejection: the name is not below the claim's."""
    return InvalidArgument("NOT_A_SUBDOMAIN", "The name does not lie below the claimed domain.", field="domain")


def not_a_subsidiary() -> FailedPrecondition:
    """Return the rejection: the organisation is not below the claim's; nor is it said whether it exists."""
    return FailedPrecondition(
        "NOT_A_SUBSIDIARY", "The organisation is no subsidiary of the claim's organisation.", field="subsidiary_org_id"
    )


def subdomain_held() -> FailedPrecondition:
    """Return the rejection: somebody else has the name, who is not named."""
    return FailedPrecondition("SUBDOMAIN_HELD", "The name is delegated or verified elsewhere already.", field="domain")


def too_many_delegations() -> FailedPrecondition:
    """Return the rejection: the claim's list is full."""
    return FailedPrecondition(
        "TOO_MANY_DELEGATIONS", f"A claim delegates {DELEGATIONS_MAX} names at most; withdraw one first."
    )


def orgs_unavailable() -> Unavailable:
    """Return the rejection: the orgs service does not answer."""
    return Unavailable(
        "ORGS_UNAVAILABLE", "The tree of organisations cannot be asked now; send the same call again.", retry_after_s=2
    )


def conflict_not_found() -> NotFound:
    """Return the rejection: no conflict has the id."""
    return NotFound("CONFLICT_NOT_FOUND", "There is no such conflict.", field="conflict_id")


def conflict_resolved() -> FailedPrecondition:
    """Return the rejection: the conflict has ended."""
    return FailedPrecondition("CONFLICT_RESOLVED", "The conflict is resolved already.")


def winner_not_in_conflict() -> InvalidArgument:
    """Return the rejection: the winner is neither of the two claims."""
    return InvalidArgument(
        "WINNER_NOT_IN_CONFLICT", "The winner is neither of the conflict's two claims.", field="winner_claim_id"
    )


def message_too_large() -> InvalidArgument:
    """Return the rejection: the message is larger than any that is verified."""
    return InvalidArgument("MESSAGE_TOO_LARGE", f"A message has at most {MESSAGE_BYTES_MAX} bytes.", field="message")


def client_ip_malformed() -> InvalidArgument:
    """Return the rejection: the client's address is no address."""
    return InvalidArgument("CLIENT_IP_MALFORMED", "The client's address is neither IPv4 nor IPv6.", field="client_ip")


def claim_busy() -> Unavailable:
    """Return the rejection: others took the name again and again meanwhile."""
    return Unavailable("CLAIM_BUSY", "The domain's claims are changing; send the same call again.", retry_after_s=1)
