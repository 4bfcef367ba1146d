"""Ports of two stacks on one machine never meet."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from apportion_dev.local.ports import LOOPBACK, reserve_port

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Other systems cannot share a bound port.")


@linux_only
def test_a_reserved_port_refuses_whoever_does_not_share_it() -> None:
    with reserve_port() as reservation, socket.socket() as stranger, pytest.raises(OSError, match="in use"):
        stranger.bind((LOOPBACK, reservation.port))


@linux_only
def test_a_server_that_reuses_addresses_can_listen_on_a_reserved_port_and_come_back_on_it() -> None:
    with reserve_port() as reservation:
        for _ in range(3):
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((LOOPBACK, reservation.port))
                server.listen()
                with socket.create_connection((LOOPBACK, reservation.port)):
                    pass


@linux_only
def test_nothing_answers_on_a_reserved_port_without_a_server() -> None:
    with reserve_port() as reservation, pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, reservation.port))


def test_reserved_ports_differ_and_lie_below_the_ephemeral_range() -> None:
    reservations = [reserve_port() for _ in range(50)]
    ports = {reservation.port for reservation in reservations}
    assert len(ports) == 50
    if sys.platform == "linux":
        first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
        assert max(ports) < first_ephemeral
    for reservation in reservations:
        reservation.close()


@linux_only
def test_a_closed_reservation_gives_its_port_back() -> None:
    reservation = reserve_port()
    reservation.close()
    reservation.close()
    with socket.socket() as successor:
        successor.bind((LOOPBACK, reservation.port))
