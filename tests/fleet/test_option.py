"""``--fleet`` where there is no Ray, no cluster, or something else is asked for at the same time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from colt.fleet.cluster import _in_words
from tests.helpers.command import refused


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "--fleet needs Ray: pip install -c constraints.txt '.[fleet]'" in refused("tune", "gemv", "--fleet", "local")


def test_without_a_cluster_it_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="fleets come with the extra fleet")

    def none(**options: object) -> None:
        raise ConnectionError(f"Could not find any running Ray instance at {options['address']}")

    monkeypatch.setattr(ray, "init", none)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for arguments in (["--fleet"], ["--fleet", "auto"]):
        message = refused("tune", "gemv", *arguments)
        assert "finds no Ray cluster" in message
        assert "ray start --head" in message
        assert "ray symmetric-run" in message


def test_a_cluster_that_refuses_may_want_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="fleets come with the extra fleet")

    def none(**options: object) -> None:
        raise ConnectionError("ray client connection timeout\nand more")

    monkeypatch.setattr(ray, "init", none)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        message = refused("tune", "gemv", "--fleet", address)
    cause = f"--fleet cannot enter a Ray cluster at {address} (ray client connection timeout); it has to be the head of"
    assert cause in message
    assert "the port for Ray's clients, usually 10001, goes with ray://HOST:PORT; one that asks for a token" in message
    assert f"connecting to the Ray cluster at {address}" in message
    assert all(said in message for said in ("RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN", "~/.ray/auth_token"))
    assert "ray start" not in message


def test_a_cluster_that_asks_for_a_token_is_said_to_and_ray_says_nothing_beside_that(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ray = pytest.importorskip("ray", reason="fleets come with the extra fleet")

    def none(**options: object) -> None:
        for second in "01":
            line = f"[2026-01-01 10:00:0{second},370 W 28896 28896] gcs_client.cc:210: InvalidAuthToken: missing"
            os.write(2, f"{line}\n".encode())
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(ray, "init", none)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        message = refused("tune", "gemv", "--fleet", address)
    assert f"--fleet cannot enter a Ray cluster at {address} (it asks for a token); one that asks for a" in message
    assert "gcs_client" not in message + "".join(capfd.readouterr())


def test_a_mode_that_ray_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="fleets come with the extra fleet")
    monkeypatch.setenv("RAY_AUTH_MODE", "banana")
    message = refused("tune", "gemv", "--fleet", "127.0.0.1:1")
    assert "--fleet enters no cluster: RAY_AUTH_MODE is 'banana'; it takes token or disabled" in message


def test_a_cluster_of_this_machine_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would leave one in the home folder, and ask all for it whose clusters begin later."""
    ray = pytest.importorskip("ray", reason="fleets come with the extra fleet")
    tokens: list[str | None] = []

    def none(**options: object) -> None:
        tokens.append(os.environ.get("RAY_AUTH_TOKEN"))
        raise RuntimeError("enough")

    monkeypatch.setattr(ray, "init", none)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    refused("tune", "gemv", "--fleet", "local")
    assert tokens[0] is not None
    assert len(tokens[0]) == 64
    assert "RAY_AUTH_TOKEN" not in os.environ, "it ends with the cluster"


SAYS = """
from colt.errors import InputError
from colt.fleet.cluster import Cluster
try:
    Cluster.connected("127.0.0.1:1", 1)
except InputError:
    pass
from ray._private.worker import print_to_stdstream
for wrong in (False, True):
    said = {"lines": ["[state-dump] and so on", "A node was marked dead."], "pid": "raylet", "is_err": wrong}
    print_to_stdstream(said, ignore_prefix=False)
"""


def test_what_ray_says_is_not_printed_beside_what_the_run_says() -> None:
    pytest.importorskip("ray", reason="fleets come with the extra fleet")
    found = subprocess.run([sys.executable, "-P", "-c", SAYS], capture_output=True, text=True, check=True)
    assert (found.stdout, found.stderr) == ("", "")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_where_nobody_listens_it_says_so_at_once(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="fleets come with the extra fleet")
    message = refused("tune", "gemv", "--fleet", address)
    assert f"--fleet finds no Ray cluster at {address} (" in message
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert f"finds no Ray cluster at {address} (" in refused("tune", "gemv", "--fleet")


@pytest.mark.parametrize(("address", "taken"), [("localhost", "HOST:PORT, ray://HOST:PORT"), ("h:0", "ports from 1")])
def test_an_address_in_the_environment_that_is_none_is_named(
    address: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="fleets come with the extra fleet")
    monkeypatch.setenv("RAY_ADDRESS", address)
    message = refused("tune", "gemv", "--fleet")
    assert f"--fleet takes the cluster of RAY_ADDRESS, which is {address!r}; it takes {taken}" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gemv", "--fleet", "nowhere"], "--fleet is 'nowhere'; it takes HOST:PORT, ray://HOST:PORT, auto or local"),
        (["gemv", "--fleet", "127.0.0.1:99999"], "--fleet is '127.0.0.1:99999'; it takes ports from 1 to 65535"),
        (["gemv", "--fleet", "ray://host:0"], "--fleet is 'ray://host:0'; it takes ports from 1 to 65535"),
        (["gemv", "--fleet-cpu", "EPYC"], "--fleet-cpu goes with --fleet"),
        (["gemv", "--fleet", "local", "--rpc", "h:1", "--key", "k"], "--fleet and --rpc exclude each other"),
    ],
)
def test_what_cannot_be_is_refused(arguments: list[str], message: str) -> None:
    assert message in refused("tune", *arguments)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (
            "The actor 8d is unavailable: The actor is temporarily unavailable: RpcError: RPC Error message: Socket "
            "closed; RPC Error details:  rpc_code: 14. The task may or may not have been executed on the actor.",
            "the connection to it was lost",
        ),
        (
            "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: refused rpc_code: 14",
            "the connection to it was lost",
        ),
        (
            "The actor died unexpectedly.\nThe actor is dead because its node has died.\nSocket closed rpc_code: 14",
            "its node has died",
        ),
        ("A worker died or was killed\nTask was killed due to the node running out of memory.", "its memory ran out"),
        ("first\n  what it comes to\n", "what it comes to"),
    ],
)
def test_of_what_ray_says_users_are_told_the_cause(raw: str, told: str) -> None:
    assert _in_words(RuntimeError(raw)) == told
