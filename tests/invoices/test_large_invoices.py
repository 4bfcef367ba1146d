"""An account with more lines than an answer may have is drawn, finalised and read like any other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from apportion.orgs.v1 import orgs_service_pb2 as orgs
from apportion_common.topology import LANES
from billing_world import CLOSE, INSERT_LINES, BillingWorld
from google.protobuf.message import Message
from google.type.money_pb2 import Money

OWNER: Final = str(UUID(int=1))
ACCOUNT: Final = str(UUID(int=2))
CHILDREN: Final = 5_100
SKUS: Final = 12
LINES: Final = CHILDREN * SKUS
PERIOD: Final = "2013-01"
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""What clients of gRPC take by default."""
ID_OF: Final = "('00000000-0000-0000-{kind}-' || lpad(to_hex({number}), 12, '0'))::uuid"
ORG: Final = ID_OF.format(kind="0001", number="n")
MAPPING: Final = ID_OF.format(kind="0002", number="n")
MAKE_ORGS: Final = f"""
    INSERT INTO organization (org_id, legal_name, org_slug)
    SELECT {ORG}, 'Org ' || n, 'org-' || n FROM generate_series(1, %(orgs)s) AS n
"""
MAP_ORGS: Final = f"""
    INSERT INTO org_billing_mapping (mapping_id, org_id, billing_account_id, allocation, percent, effective_at,
        declared_order)
    SELECT {MAPPING}, {ORG}, %(account)s, CASE n %% 3 WHEN 0 THEN 'split' WHEN 1 THEN 'chargeback' ELSE 'absorb' END,
        CASE n %% 3 WHEN 0 THEN 25 END, '2012-01-01Z', n
    FROM generate_series(1, %(orgs)s) AS n
"""
USE: Final = f"""
    {INSERT_LINES}
    SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'usage', {ORG}, %(account)s, {MAPPING},
        'SKU-' || sku, 'action', 1, 'AUD', 1.005 * sku, false, 0, 0, 1.005 * sku, NULL, 0, 0, 0, sha256('x'),
        '2013-01-02Z', '2013-01', NULL
    FROM generate_series(1, %(orgs)s) AS n, generate_series(1, %(skus)s) AS sku
"""


def decimal(money: Money) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos).scaleb(-9)


async def every(world: BillingWorld, method: str, request: Any, items: str) -> list[Any]:
    """All items of a list, whose pages each fit into a client's answer."""
    found: list[Any] = []
    request.page_size = 5_000
    while True:
        answer: Message = await world.call(method, request)
        assert answer.ByteSize() < ANSWER_BYTES_MAX
        found += getattr(answer, items)
        request.page_token = answer.next_page_token  # type: ignore[attr-defined]
        if not request.page_token:
            return found


async def test_an_account_with_61_200_lines_is_drawn_again_finalised_and_read_in_pages(world: BillingWorld) -> None:
    await world.root(OWNER)
    await world.account(ACCOUNT, OWNER)
    world.in_orgs(MAKE_ORGS, orgs=CHILDREN)
    world.in_orgs(MAP_ORGS, orgs=CHILDREN, account=ACCOUNT)
    world.in_ledger(USE, orgs=CHILDREN, skus=SKUS, account=ACCOUNT)
    world.in_ledger(CLOSE, period=PERIOD, org=None, last=LANES - 1)
    draft = await world.generate(ACCOUNT, PERIOD)
    final = await world.finalize(draft.invoice_id)
    assert final.state == orgs.INVOICE_STATE_FINAL
    total = CHILDREN * Decimal("1.005") * sum(range(1, SKUS + 1))
    assert (Decimal(final.ledger_total.value), decimal(final.total)) == (total, total)
    assert (final.part_count, final.line_count) == (CHILDREN, LINES)
    # The owner, who of every third org pays a quarter, these orgs, and the copies of another third.
    assert final.document_count == 1 + CHILDREN // 3 + CHILDREN // 3
    whole = (await world.call("GetInvoice", orgs.GetInvoiceRequest(invoice_id=final.invoice_id))).invoice
    assert whole == final
    assert whole.ByteSize() < ANSWER_BYTES_MAX
    assert [len(shown) for shown in (whole.parts, whole.documents, whole.lines)] == [5_000, 3_401, 5_000]

    of_invoice = {"invoice_id": final.invoice_id}
    parts = await every(world, "ListInvoiceParts", orgs.ListInvoicePartsRequest(**of_invoice), "parts")
    documents = await every(world, "ListInvoiceDocuments", orgs.ListInvoiceDocumentsRequest(**of_invoice), "documents")
    lines = await every(world, "ListInvoiceLines", orgs.ListInvoiceLinesRequest(**of_invoice), "lines")
    assert (len(parts), len(documents), len(lines)) == (CHILDREN, final.document_count, LINES)
    assert list(final.lines) == lines[: len(final.lines)]
    assert len({(line.org_id, line.sku) for line in lines}) == LINES
    assert sum(decimal(part.owner_pays) + decimal(part.org_pays) for part in parts) == total
    assert sum(decimal(line.amount) for line in lines) == total
    assert sum(decimal(document.total) for document in documents if not document.copy) == total
