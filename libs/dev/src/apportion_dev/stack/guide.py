"""What `apportion stack up` prints: where everything is, and lines ready to paste."""

from __future__ import annotations

from apportion_client.local_stack import DATA_FOLDER_NAME, DATA_FOLDER_SETTING, StackState
from apportion_common.flags import FLAGS

from apportion_dev.stack.credentials import TOKEN_LIFE_S
from apportion_dev.stack.environment import CLAIM_MAIL_DOMAIN
from apportion_dev.stack.layout import Layout

_SNIPPET = """\
import pathlib
import grpc
from apportion.metering.v1 import metering_service_pb2 as pb, metering_service_pb2_grpc as rpc
trust = grpc.ssl_channel_credentials(pathlib.Path("{ca_file}").read_bytes())
token = pathlib.Path("{token_file}").read_text()
with grpc.secure_channel("{metering}", trust) as channel:
    stub = rpc.MeteringServiceStub(channel)
    headers = [("authorization", "Bearer " + token)]
    print(stub.GetPipelineStatus(pb.GetPipelineStatusRequest(), metadata=headers, timeout=10))
"""

_CALLS = (
    ("apportion.metering.v1.MeteringService/GetPipelineStatus", "{}"),
    ("apportion.ledger.v1.LedgerService/GetTrialBalance", "{}"),
    ("grpc.health.v1.Health/Check", '{"service": "readiness"}'),
)


def guide(layout: Layout, state: StackState) -> str:
    """Return the text for a stack that is ready; it names the token's file and never shows the token."""
    lines = [f"The local stack is up in {layout.root}.", ""]
    lines += [f"  {name:<10} {address}" for name, address in state.addresses.items()]
    lines += [
        f"  {'postgres':<10} {state.postgres_address} (one database and two roles per service)",
        f"  {'nats':<10} {state.nats_url} (monitoring: {state.nats_monitor_url})",
        f"  {'smtp':<10} {state.smtp_address} (mail that proves domains, to {CLAIM_MAIL_DOMAIN}; STARTTLS)",
        f"  {'trust':<10} {state.ca_file}",
        f"  {'logs':<10} {layout.logs} (apportion stack logs)",
        "",
        f"All {len(FLAGS)} features are open, and pricing's gate is overridden for the local profile.",
        "",
        f"An operator's token lies in {state.token_file}; it is renewed while the stack runs and lives",
        f"{TOKEN_LIFE_S // 60} minutes. One for an organisation: apportion stack token --org ORG_ID --role Admin",
        "",
        "From Python:",
        "",
    ]
    snippet = _SNIPPET.format(ca_file=state.ca_file, token_file=state.token_file, metering=state.addresses["metering"])
    lines += [f"    {line}" for line in snippet.splitlines()]
    lines += ["", "From the shell:", ""]
    if layout.root.name != DATA_FOLDER_NAME:
        lines.append(f"    export {DATA_FOLDER_SETTING}={layout.root}")
    lines += [f"    apportion call {method} '{body}'" for method, body in _CALLS]
    lines += ["", "End it with: apportion stack down"]
    return "\n".join(lines)
