"""What pricing counts, per batch; a label value per mode or reason, never per organisation."""

from __future__ import annotations

from apportion_common.metrics import counter

CHARGES = counter("apportion_pricing_charges_total", "Charges rated, by the engine's mode.", ["mode"])
REJECTIONS = counter("apportion_pricing_refusals_total", "Events rejected, by reason.", ["reason"])
SEGMENTS = counter(
    "apportion_pricing_terms_lookups_total", "Events whose terms were in memory (hit) or resolved (miss).", ["outcome"]
)
RELOADS = counter("apportion_pricing_terms_reloads_total", "Times that the terms in memory were brought up to date.")
ORGS_CALLS = counter(
    "apportion_pricing_orgs_calls_total", "Calls to orgs for billing accounts, by purpose.", ["purpose"]
)
