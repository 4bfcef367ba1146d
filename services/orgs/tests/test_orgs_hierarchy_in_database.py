"""The tree of organisations in the database: the closure follows the parent pointers, whatever happens at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
from uuid import UUID

import pytest
from apportion.orgs.v1 import orgs_service_pb2 as pb
from apportion_common.db.idempotency import mutation
from apportion_common.db.unit_of_work import Transaction
from apportion_common.errors import ApportionError, FailedPrecondition, Unavailable
from apportion_dev.testing.locks import PATIENCE_S, POLL_S, until_it_waits
from apportion_orgs.app import hierarchies
from apportion_orgs.app.hierarchies import Hierarchies
from apportion_orgs.app.tree_locks import TreeLocks
from apportion_orgs.limits import ROOT_LOCK_ROUNDS_MAX, TREE_LEVELS_MAX
from apportion_orgs.store.hierarchy import HierarchyStore
from apportion_orgs.store.organizations import OrganizationStore
from google.protobuf.message import Message
from orgs_harness import OrgsHarness, org_id
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.oracles.orgs_hierarchy import closure_of

ROUNDS = 10


def add_child(parent: str, child: str) -> pb.AddChildRequest:
    return pb.AddChildRequest(parent_org_id=org_id(parent), child_org_id=org_id(child))


def stored_closure(harness: OrgsHarness) -> set[tuple[UUID, UUID, int]]:
    return set(harness.rows("SELECT ancestor_org_id, descendant_org_id, depth FROM org_hierarchy"))


def implied_closure(harness: OrgsHarness) -> set[tuple[UUID, UUID, int]]:
    return closure_of(dict(harness.rows("SELECT org_id, parent_org_id FROM organization")))


@pytest.mark.parametrize("seed", range(3))
async def test_the_closure_is_what_the_parent_pointers_imply_after_any_operations(
    harness: OrgsHarness, seed: int
) -> None:
    chance = random.Random(seed)
    names: list[str] = []
    for number in range(60):
        name = f"o{number}"
        if names and chance.random() < 0.4:
            await harness.child(name, chance.choice(names))
        else:
            await harness.root(name)
        names.append(name)
        if chance.random() < 0.5:
            # What would make no tree is rejected; what that leaves is looked at below.
            with contextlib.suppress(FailedPrecondition):
                await harness.call("AddChild", add_child(chance.choice(names), chance.choice(names)))
    assert stored_closure(harness) == implied_closure(harness)
    assert (await harness.call("CheckHierarchy", pb.CheckHierarchyRequest())).holds


async def test_check_hierarchy_names_what_is_wrong(harness: OrgsHarness) -> None:
    await harness.root("a")
    await harness.child("b", "a")
    async with harness.service_database.owner_engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM org_hierarchy WHERE depth = 1")
    checked = await harness.call("CheckHierarchy", pb.CheckHierarchyRequest())
    assert not checked.holds
    assert list(checked.examples) == [f"{org_id('a')}/{org_id('b')}"]


async def test_an_organisation_is_not_added_under_itself_or_what_is_below_it(harness: OrgsHarness) -> None:
    await harness.root("a")
    await harness.child("b", "a")
    for parent, child in (("a", "a"), ("b", "a"), ("b", "b")):
        assert (await harness.rejected("AddChild", add_child(parent, child))).reason == "HIERARCHY_CYCLE"


async def test_only_a_root_is_added_as_a_child(harness: OrgsHarness) -> None:
    for name in ("a", "c"):
        await harness.root(name)
    await harness.child("b", "a")
    assert (await harness.rejected("AddChild", add_child("c", "b"))).reason == "NOT_A_ROOT"
    assert (await harness.rejected("AddChild", add_child("nobody", "c"))).field == "parent_org_id"
    assert (await harness.rejected("AddChild", add_child("c", "nobody"))).field == "child_org_id"


async def test_depth_is_bounded_for_new_leaves_and_for_whole_trees(harness: OrgsHarness) -> None:
    await harness.root("n0")
    for level in range(1, TREE_LEVELS_MAX + 1):
        await harness.child(f"n{level}", f"n{level - 1}")
    deeper = pb.CreateOrgRequest(legal_name="X", slug="x", parent_org_id=org_id(f"n{TREE_LEVELS_MAX}"))
    assert (await harness.rejected("CreateOrg", deeper)).reason == "DEPTH_EXCEEDED"
    await harness.root("top")
    await harness.child("below", "top")
    assert (await harness.rejected("AddChild", add_child(f"n{TREE_LEVELS_MAX - 1}", "top"))).reason == "DEPTH_EXCEEDED"
    await harness.call("AddChild", add_child(f"n{TREE_LEVELS_MAX - 2}", "top"))
    assert stored_closure(harness) == implied_closure(harness)


class Dawdling(HierarchyStore):
    """Waits between what was checked and what is written, and before the commit, so that two at once do overlap."""

    async def height(self, connection: AsyncConnection, org_id: UUID) -> int:
        await asyncio.sleep(0.03)
        return await super().height(connection, org_id)

    async def attach(self, tx: Transaction, root: UUID, parent_org_id: UUID) -> None:
        await super().attach(tx, root, parent_org_id)
        await asyncio.sleep(0.1)


class Careless(Dawdling):
    """The same without the lock."""

    async def lock_root(self, tx: Transaction, root: UUID, *, shared: bool) -> None:
        return


async def add_both_ways(harness: OrgsHarness, tree: HierarchyStore, a: str, b: str) -> list[str]:
    """Put a under b and b under a at the same time; what came of it."""
    trees = Hierarchies(harness.database, OrganizationStore(), tree)

    async def add(parent: str, child: str) -> str:
        request = add_child(parent, child)
        request.request_id = f"{parent} over {child}"
        adding = mutation(request, lambda revision: pb.AddChildResponse(revision=revision))
        try:
            await trees.add_child(adding, UUID(org_id(parent)), UUID(org_id(child)))
        except ApportionError as error:
            return error.reason
        return "added"

    return sorted(await asyncio.gather(add(a, b), add(b, a)))


async def test_of_two_that_together_would_make_a_cycle_one_is_rejected(harness: OrgsHarness) -> None:
    for number in range(ROUNDS):
        await harness.root(f"a{number}")
        await harness.root(f"b{number}")
        assert await add_both_ways(harness, Dawdling(), f"a{number}", f"b{number}") == ["HIERARCHY_CYCLE", "added"]
    assert (await harness.call("CheckHierarchy", pb.CheckHierarchyRequest())).holds


async def test_without_the_lock_the_same_two_do_make_a_cycle(harness: OrgsHarness) -> None:
    await harness.root("a")
    await harness.root("b")
    assert await add_both_ways(harness, Careless(), "a", "b") == ["added", "added"]
    checked = await harness.call("CheckHierarchy", pb.CheckHierarchyRequest())
    assert not checked.holds
    assert checked.examples


async def test_a_ring_of_three_at_once_leaves_a_tree(harness: OrgsHarness) -> None:
    for number in range(ROUNDS):
        names = [f"{letter}{number}" for letter in "abc"]
        for name in names:
            await harness.root(name)
        calls = [harness.call("AddChild", add_child(names[i], names[(i + 1) % 3])) for i in range(3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, FailedPrecondition) for result in results) == 1
        assert all(isinstance(result, FailedPrecondition | pb.AddChildResponse) for result in results)
    assert stored_closure(harness) == implied_closure(harness)


async def test_leaves_that_grow_while_their_tree_is_added_elsewhere_get_every_ancestor(harness: OrgsHarness) -> None:
    await harness.root("top")
    for number in range(ROUNDS):
        await harness.root(f"r{number}")
        await asyncio.gather(
            *(harness.child(f"r{number}l{leaf}", f"r{number}") for leaf in range(3)),
            harness.call("AddChild", add_child("top", f"r{number}")),
        )
    assert stored_closure(harness) == implied_closure(harness)
    assert (await harness.call("CheckHierarchy", pb.CheckHierarchyRequest())).holds


class Overtaken(HierarchyStore):
    """Before each lock somebody else puts the tree under one more root."""

    def __init__(self, harness: OrgsHarness) -> None:
        self.harness = harness
        self.rounds = 0

    async def lock_root(self, tx: Transaction, root: UUID, *, shared: bool) -> None:
        await self.harness.root(f"above{self.rounds + 1}")
        await self.harness.call("AddChild", add_child(f"above{self.rounds + 1}", f"above{self.rounds}"))
        self.rounds += 1
        await super().lock_root(tx, root, shared=shared)


async def test_a_leaf_whose_tree_is_moved_again_and_again_is_to_be_sent_again(harness: OrgsHarness) -> None:
    await harness.root("above0")
    tree = Overtaken(harness)
    with pytest.raises(Unavailable) as rejected:
        async with harness.database.transaction() as tx:
            await TreeLocks(tree).lock_for_leaf(tx, UUID(org_id("above0")))
    assert (rejected.value.reason, rejected.value.retry_after_s) == ("HIERARCHY_BUSY", 1)
    assert tree.rounds == ROOT_LOCK_ROUNDS_MAX
    await harness.child("leaf", "above0")
    assert stored_closure(harness) == implied_closure(harness)


async def test_who_waits_for_a_tree_that_is_moved_meanwhile_lets_its_old_root_go(harness: OrgsHarness) -> None:
    store = HierarchyStore()
    await harness.root("old")
    await harness.root("new")
    old, new = UUID(org_id("old")), UUID(org_id("new"))

    async def lock_for_leaf() -> None:
        async with harness.database.transaction() as tx:
            await TreeLocks(store).lock_for_leaf(tx, old)

    async with harness.database.transaction() as holder:
        async with harness.database.transaction() as mover:
            await store.lock_root(mover, old, shared=False)
            locking = asyncio.create_task(lock_for_leaf())
            await until_it_waits(harness.service_database, locking)
            await store.lock_root(holder, new, shared=False)
            await OrganizationStore().set_parent(mover, old, new)
            await store.attach(mover, old, new)
        await until_it_waits_for(harness, locking, new)
        # It waits for the new root now. Who holds that may have asked for the old one, in the order of their ids.
        await store.lock_root(holder, old, shared=False)
        assert not locking.done()
    await locking


async def until_it_waits_for(harness: OrgsHarness, locking: asyncio.Task[None], root: UUID) -> None:
    """Return once a task waits for the lock of a root."""
    query = """
        SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted
            AND (classid::bigint << 32 | objid::bigint) = hashtextextended('org_hierarchy ' || %s, 0)
    """
    async with asyncio.timeout(PATIENCE_S):
        while harness.rows(query, str(root)) != [(1,)]:
            assert not locking.done()
            await asyncio.sleep(POLL_S)


async def test_a_tree_is_listed_by_depth_and_slug_and_by_pages(harness: OrgsHarness) -> None:
    await harness.root("top")
    for name in ("b", "a", "c"):
        await harness.child(name, "top")
    await harness.child("a1", "a")
    tree = (await harness.call("GetTree", pb.GetTreeRequest(root_org_id=org_id("top")))).orgs
    assert [(at.org.slug, at.depth) for at in tree] == [("top", 0), ("a", 1), ("b", 1), ("c", 1), ("a1", 2)]
    assert tree[-1].org.parent_org_id == org_id("a")
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListDescendantsRequest(org_id=org_id("top"), page_size=2, page_token=token)
        page = await harness.call("ListDescendants", request)
        seen += [at.org.slug for at in page.orgs]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["a", "b", "c", "a1"]
    above = (await harness.call("ListAncestors", pb.ListAncestorsRequest(org_id=org_id("a1")))).orgs
    assert [(at.org.slug, at.depth) for at in above] == [("a", 1), ("top", 2)]
    requests: tuple[tuple[str, Message], ...] = (
        ("GetTree", pb.GetTreeRequest(root_org_id=org_id("nobody"))),
        ("ListDescendants", pb.ListDescendantsRequest(org_id=org_id("nobody"))),
        ("ListAncestors", pb.ListAncestorsRequest(org_id=org_id("nobody"))),
    )
    for method, unknown in requests:
        assert (await harness.rejected(method, unknown)).reason == "ORG_NOT_FOUND"


async def test_a_tree_of_more_organisations_than_one_answer_may_have_is_not_returned_in_part(
    harness: OrgsHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.root("top")
    await harness.child("a", "top")
    monkeypatch.setattr(hierarchies, "TREE_ORGS_MAX", 2)
    request = pb.GetTreeRequest(root_org_id=org_id("top"))
    assert len((await harness.call("GetTree", request)).orgs) == 2
    await harness.child("b", "top")
    assert (await harness.rejected("GetTree", request)).reason == "TREE_TOO_LARGE"
    assert len((await harness.call("ListDescendants", pb.ListDescendantsRequest(org_id=org_id("top")))).orgs) == 2


async def test_a_page_token_that_was_never_returned_is_rejected(harness: OrgsHarness) -> None:
    await harness.root("top")
    for token in ("x", "é", "bm8=", "WyJ4Il0=", "WzEsMl0=", "bnVsbA==", "WyIzMjc2OCIsIngiXQ=="):
        request = pb.ListDescendantsRequest(org_id=org_id("top"), page_token=token)
        assert (await harness.rejected("ListDescendants", request)).reason == "PAGE_TOKEN_MALFORMED"
