"""What a charge model is: the one place that a row's way of charging has in the service.

Everything is a scaled int: quantities at 9 places, prices at 12, amounts at 9; a product of quantity and price has 21
and is rounded once.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Protocol, SupportsIndex, TypeVar

from apportion_common.decimals import AMOUNT_PLACES, PRICE_PLACES, QUANTITY_PLACES

from apportion_pricing.domain.rejections import Rejection
from apportion_pricing.domain.terms import SkuTerms

PRODUCT_TO_AMOUNT_PLACES: Final = QUANTITY_PLACES + PRICE_PLACES - AMOUNT_PLACES
"""Places that a product of quantity and price has more than an amount."""

State = TypeVar("State", bound=SupportsIndex)
"""What the model knows of a period so far. As an index it is the quantity that is stored as the period's position."""
Table = TypeVar("Table")
"""The values of a row, made ready once for all events that they price."""


class ChargeModel(Protocol[State, Table]):
    """How a row charges what exceeds its included quantity."""

    @property
    def name(self) -> str:
        """The model's name in the tables, and in capitals in the contract."""
        ...

    @property
    def tiered(self) -> bool:
        """Whether its rows have tiers."""
        ...

    def validate(self, sku: str, values: SkuTerms) -> None:
        """Raise InvalidArgument for values that a row of this model cannot have."""
        ...

    def structure(self, values: SkuTerms) -> Hashable:
        """Return what of the values stays for a period: the rest may change at any instant."""
        ...

    def table(self, values: SkuTerms) -> Table:
        """Return the values made ready for `increment`."""
        ...

    def restore(self, quantity: int) -> State:
        """Return the state of a stored position; 0 is a period's beginning."""
        ...

    def increment(self, state: State, quantity: int, table: Table) -> tuple[State, int] | Rejection:
        """Return the state after an event and the event's amount, or why it has none; then the state stays."""
        ...

    def close(self, state: State, table: Table) -> int:
        """Return what the end of the period adds to the amounts of its events."""
        ...
