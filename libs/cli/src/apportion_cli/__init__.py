"""The apportion command line, a client of the five services."""

import os

# As in apportion_dev, whose commands this one carries: they start processes after grpc is imported here.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
