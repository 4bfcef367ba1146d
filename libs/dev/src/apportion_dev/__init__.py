"""What runs the product on one machine, for development and tests: servers, keys, the local stack, fixtures."""

import os

# Read when grpc is first imported. The stack's processes are started by fork and exec, between which grpc's own
# handlers would run in the child: they are for children that go on calling, and now and then one ends by them before
# it has begun.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
