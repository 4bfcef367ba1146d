"""What the identity service's tests share: with this file here, those in domain/ can import the helpers beside it."""

from __future__ import annotations

from apportion_dev.testing import observed
from apportion_identity.domain.mail.types import DkimFinding, Rejection, Verification

# Why mails prove nothing is decided by pure rules, most of which are tested without an RPC around them.
observed.watch(Rejection, lambda rejection: [rejection.reason])
observed.watch(DkimFinding, lambda finding: [finding.reason])
observed.watch(Verification, lambda proof: [proof.rejection.reason] if proof.rejection else [])
