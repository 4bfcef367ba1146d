"""SubmitVerificationEmail's rate as a ratio to bare dkimpy verification of the same messages in the same run.

Every message verifies a claim of its own: over gRPC with TLS and a token to the running identity process, which asks
its DNS cache and writes claim, proof, audit entry and event to PostgreSQL. Beside it, in one plain loop, dkimpy
verifies the signatures of the same messages with their keys at hand. Two more tell where the rest goes: the service's
own verifying of these messages (all of the result, with cached answers of the DNS, in this process) and as many calls
that do next to nothing (GetJwks). Runs are interleaved, the medians are told, and with them where the processor's time
went. At the end, medians of single calls for a claimed and an unclaimed domain, side by side. Nothing here is an
assertion.

    make bench-mail                                     five pairs of runs
    python -m benchmarks.verification --runs 1          a shorter look
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dkim
import grpc
from apportion.identity.v1 import identity_service_pb2 as pb
from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceStub
from apportion_common.clock import SystemClock
from apportion_dev.stack.layout import Layout
from apportion_dev.stack.supervisor import LocalStack
from apportion_identity.adapters.dns import DnsResolver
from apportion_identity.adapters.suffixes import PackagedSuffixes
from apportion_identity.app.verify_mail import MailVerifier
from apportion_identity.domain.mail.types import Envelope

from benchmarks.machine import spent

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "services" / "identity" / "tests"))

from loopback_dns import LoopbackDns  # noqa: E402
from mail_maker import Signer, make_message  # noqa: E402

if TYPE_CHECKING:
    from apportion.identity.v1.identity_service_pb2_grpc import IdentityServiceAsyncStub

CALLERS = 8
"""Calls that are under way at once."""
CALL_TIMEOUT_S = 30
DNS_TIMEOUT_S = 5.0
PAIRS_OF_CALLS = 200
LINE = b"We claim this domain, as the address below asks for.\r\n"
LINES_PER_KIB = 19
SMALL_KIB, LARGE_KIB = 1, 64
"""Bodies: from a few lines to a letter with pictures in it. Of those from LARGE_KIB on an eighth as many are sent."""
CASES = (
    *(("rsa-sha256", body_kib) for body_kib in (SMALL_KIB, 16, LARGE_KIB, 256)),
    ("ed25519-sha256", SMALL_KIB),
)
LAYERS = ("verifying alone", "empty calls", "service")
SETTINGS = {"claims_daily_limit": "100000"}


@dataclass
class Mail:
    """A message, the claim's domain that it proves, and the claim's address."""

    domain: str
    to: str
    raw: bytes


Rates = dict[str, float]
"""Messages, or calls, a second by what was measured."""


class Bench:
    """Identity as a client sees it."""

    def __init__(self, stack: LocalStack, stub: IdentityServiceAsyncStub, dns: LoopbackDns) -> None:
        self.stack = stack
        self.stub = stub
        self.dns = dns
        host, _, port = dns.address.rpartition(":")
        self.resolver = DnsResolver([(host, int(port))], DNS_TIMEOUT_S, SystemClock())
        self.suffixes = PackagedSuffixes()
        self.algorithm, body_kib = CASES[0]
        self.body = LINE * LINES_PER_KIB * body_kib
        token = stack.mint_token("service_account:bench", ["operator", "service"])
        self.metadata = grpc.aio.Metadata(("authorization", f"Bearer {token}"))

    async def call(self, method: str, request: Any) -> Any:
        """One call as operator and service, with a request id of its own."""
        if "request_id" in request.DESCRIPTOR.fields_by_name:
            request.request_id = str(uuid4())
        return await getattr(self.stub, method)(request, metadata=self.metadata, timeout=CALL_TIMEOUT_S)

    async def mails(self, run: int, count: int) -> list[Mail]:
        """Claims of as many domains, and the signed message that proves each; the DNS cache has what they need."""
        now_s = SystemClock().now_us() // 1_000_000

        async def one(number: int) -> Mail:
            domain = f"bench{run}x{number}.com"
            signer = Signer(domain, algorithm=self.algorithm)
            self.dns.set(signer.question.name, "TXT", [signer.record()])
            request = pb.CreateClaimRequest(org_id=str(uuid4()), domain=domain)
            made = await self.call("CreateClaim", request)
            message = make_message(
                author=f"Ann <ann@{domain}>", to=made.mail_to, message_id=f"<{number}@{domain}>", body=self.body
            )
            raw = signer.sign(message, signed_at_s=now_s)
            # A changed message asks the DNS the same questions, and proves nothing.
            warmed = await self.submit(raw + b"x\r\n")
            if warmed.outcome != pb.VERIFICATION_OUTCOME_REJECTED:
                sys.exit(f"A changed message was not refused: {warmed}")
            return Mail(domain, made.mail_to, raw)

        return await side_by_side(one, range(count))

    async def submit(self, raw: bytes, *, domain: str = "") -> pb.SubmitVerificationEmailResponse:
        """Send a message in."""
        request = pb.SubmitVerificationEmailRequest(message=raw, mail_from=f"ann@{domain or 'bench.com'}")
        answer: pb.SubmitVerificationEmailResponse = await self.call("SubmitVerificationEmail", request)
        return answer

    async def verify_all(self, mails: Sequence[Mail]) -> float:
        """Messages a second through the service."""
        started = time.perf_counter()
        answers = await side_by_side(lambda mail: self.submit(mail.raw, domain=mail.domain), mails)
        seconds = time.perf_counter() - started
        wrong = [answer for answer in answers if answer.outcome != pb.VERIFICATION_OUTCOME_VERIFIED]
        if wrong:
            sys.exit(f"{len(wrong)} of {len(mails)} messages verified nothing, such as {wrong[0]}")
        return len(mails) / seconds

    def dkimpy(self, mails: Sequence[Mail]) -> float:
        """Messages a second by dkimpy alone, with the keys at hand."""
        records = {}
        for mail in mails:
            signer = Signer(mail.domain, algorithm=self.algorithm)
            records[f"{signer.question.name}."] = signer.record()

        def look_up(name: bytes | str, timeout: int = 5) -> bytes | None:
            return records.get((name.decode() if isinstance(name, bytes) else name).lower())

        started = time.perf_counter()
        good = sum(dkim.verify(mail.raw, dnsfunc=look_up) for mail in mails)
        seconds = time.perf_counter() - started
        if good != len(mails):
            sys.exit(f"dkimpy verified {good} of {len(mails)} messages.")
        return len(mails) / seconds

    async def verified(self, mails: Sequence[Mail]) -> float:
        """Messages a second by the service's own verifying, in this process, with every answer in its DNS cache."""
        verifier = MailVerifier(self.resolver, self.suffixes, SystemClock())

        async def all_of_them() -> float:
            started = time.perf_counter()
            for mail in mails:
                envelope = Envelope("", "", f"ann@{mail.domain}", "", trusted_relay=False)
                verification = await verifier.verify(mail.raw, envelope, domain=mail.domain, address=mail.to)
                if verification.rejection is not None:
                    sys.exit(f"The verifier rejected a message: {verification.rejection}")
            return len(mails) / (time.perf_counter() - started)

        await all_of_them()
        return await all_of_them()

    async def empty_calls(self, count: int) -> float:
        """Calls a second that do next to nothing."""
        started = time.perf_counter()
        await side_by_side(lambda _: self.call("GetJwks", pb.GetJwksRequest()), range(count))
        return count / (time.perf_counter() - started)

    async def pair(self, run: int, count: int) -> Rates:
        """One run of everything; gives the rates."""
        mails = await self.mails(run, count)
        rates = {"dkimpy": self.dkimpy(mails), "verifying alone": await self.verified(mails)}
        rates["empty calls"] = await self.empty_calls(count)
        before = self._spent()
        rates["service"] = await self.verify_all(mails)
        after = self._spent()
        print("  a second: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()))
        spent = ", ".join(f"{name} {(after[name] - before[name]) / count * 1e6:,.0f}" for name in after)
        print(f"  processor, microseconds a message of the service: {spent}", flush=True)
        return rates

    async def claimed_and_unclaimed(self) -> None:
        """Medians of single calls of a claimant, for a domain that somebody has verified and for one of nobody."""
        (mail,) = await self.mails(10**6, 1)
        await self.submit(mail.raw, domain=mail.domain)
        orgs = [str(uuid4()) for _ in range(PAIRS_OF_CALLS)]
        times: dict[tuple[str, str], list[float]] = {}
        for number, org_id in enumerate(orgs):
            for kind, domain in (("claimed", mail.domain), ("unclaimed", f"free{number}.com")):
                made = await self._timed(
                    times, kind, "CreateClaim", pb.CreateClaimRequest(org_id=org_id, domain=domain)
                )
                ids = {"org_id": org_id, "claim_id": made.claim.claim_id}
                await self._timed(times, kind, "GetClaim", pb.GetClaimRequest(**ids))
                await self._timed(times, kind, "ListClaims", pb.ListClaimsRequest(org_id=org_id))
                await self._timed(times, kind, "RenewClaimToken", pb.RenewClaimTokenRequest(**ids))
                await self._timed(times, kind, "RevokeClaim", pb.RevokeClaimRequest(**ids, reason="measured"))
        print(f"medians of {PAIRS_OF_CALLS} calls in milliseconds   claimed   unclaimed")
        for method in dict.fromkeys(method for method, _ in times):
            both = [statistics.median(times[method, kind]) * 1_000 for kind in ("claimed", "unclaimed")]
            print(f"  {method:40} {both[0]:8.2f}    {both[1]:8.2f}")

    async def _timed(self, times: dict[tuple[str, str], list[float]], kind: str, method: str, request: Any) -> Any:
        started = time.perf_counter()
        answer = await self.call(method, request)
        times.setdefault((method, kind), []).append(time.perf_counter() - started)
        return answer

    def _spent(self) -> dict[str, float]:
        """Processor seconds so far: of identity, of PostgreSQL with its sessions, and of this client."""
        used = spent(self.stack.state().pids)
        server = sum(seconds for name, seconds in used.items() if name.startswith("postgres"))
        return {"identity": used["identity"], "postgres": server, "client": time.process_time()}


async def side_by_side(work: Callable[[Any], Awaitable[Any]], items: Iterable[Any]) -> list[Any]:
    """The results of work on each item, CALLERS at a time."""
    slots = asyncio.Semaphore(CALLERS)

    async def one(item: Any) -> Any:
        async with slots:
            return await work(item)

    return await asyncio.gather(*(one(item) for item in items))


async def measure(stack: LocalStack, dns: LoopbackDns, args: argparse.Namespace) -> None:
    """All runs."""
    credentials = grpc.ssl_channel_credentials(await asyncio.to_thread(pathlib.Path(stack.state().ca_file).read_bytes))
    async with grpc.aio.secure_channel(stack.state().addresses["identity"], credentials) as channel:
        stub: IdentityServiceAsyncStub = IdentityServiceStub(channel)
        bench = Bench(stack, stub, dns)
        for key, value in SETTINGS.items():
            await bench.call("SetGlobalSetting", pb.SetGlobalSettingRequest(key=key, value=value, reason="measuring"))
        found: dict[str, list[Rates]] = {}
        for run in range(1, args.runs + 1):
            for place, (algorithm, body_kib) in enumerate(CASES):
                case = f"{algorithm}, bodies of {body_kib} KiB"
                print(f"run {run} of {args.runs}, {case}")
                bench.algorithm, bench.body = algorithm, LINE * LINES_PER_KIB * body_kib
                count = args.messages if body_kib < LARGE_KIB else max(args.messages // 8, 1)
                found.setdefault(case, []).append(await bench.pair(run * len(CASES) + place, count))
        print(f"ratios to bare dkimpy, medians of {args.runs}      verifying alone   empty calls   service")
        for case, runs in found.items():
            ratios = [statistics.median(rates[name] / rates["dkimpy"] for rates in runs) for name in LAYERS]
            print(f"  {case:42}" + "".join(f"{ratio:14.3f}" for ratio in ratios))
        await bench.claimed_and_unclaimed()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs of each algorithm")
    parser.add_argument("--messages", type=int, default=400, help="messages of a run")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="apportion-bench-", ignore_cleanup_errors=True) as name,
        LoopbackDns(ttl_s=3_600, negative_ttl_s=3_600) as dns,
    ):
        os.environ["DNS_SERVERS"] = dns.address
        stack = LocalStack(Layout(pathlib.Path(name) / "data"))
        with stack:
            asyncio.run(measure(stack, dns, args))
        stack.destroy()
    return 0


if __name__ == "__main__":
    sys.exit(main())
