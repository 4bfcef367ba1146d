"""Rate limits of the service's RPCs: the floor's token buckets, under the name that use cases know them by."""

from __future__ import annotations

from apportion_common.rate_limit import RateLimit

__all__ = ["RateLimit"]
