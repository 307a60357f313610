"""The load generator counts what it sends, hides no error, and does not wait for a slow server."""

import json
import random
import socket
import ssl
import statistics
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import frames
from benchmarks.load.build import FLAGS, SOURCE, CannotBuild, build, compiler
from benchmarks.load.generator import Load, LoadFailed, LoadResult, run
from benchmarks.load.kinds import MARK, Keys, Kind, Reply
from paceline.dax.errors import encode_error
from paceline.errors import RequestError
from paceline_local.certificates import Authority
from tests.support.load_program import need_load_program
from tests.support.scripted_server import Answer, ScriptedServer

SIZE = 20
RIGHT = b"$20\r\n" + b"x" * SIZE + b"\r\n"
GET = frames.resp_get(SIZE)
LENGTH = len(GET.frame)


@pytest.fixture(autouse=True)
def program() -> None:
    need_load_program()


def load(server: ScriptedServer, kind: Kind = GET, **options: object) -> Load:
    made = Load("resp", b"", [kind], [server.port], connections=4, seconds=20)
    return replace(made, **options)  # type: ignore[arg-type]


def result_of(answer: Answer, **options: object) -> tuple[LoadResult, ScriptedServer]:
    with ScriptedServer(LENGTH, answer) as server:
        (result,) = run(load(server, **options))  # type: ignore[arg-type]
    return result, server


def features() -> dict[str, Any]:
    done = subprocess.run([build(), "features"], capture_output=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def number_in(request: bytes) -> int:
    return int(request.rpartition(b":")[2])


# -- counts ------------------------------------------------------------------------------------


def test_as_many_requests_as_it_says_arrive_and_are_right() -> None:
    result, server = result_of(lambda number, request: RIGHT, requests=500)
    assert result.requests == len(server.requests) == 500
    assert result.errors == 0
    assert result.kinds["hit"].requests == 500
    assert 0 < result.latency.p50 <= result.latency.p99 <= result.latency.max


def test_the_load_of_a_time_ends_with_it_and_what_is_under_way_is_counted() -> None:
    began = time.monotonic()
    result, server = result_of(lambda number, request: RIGHT, seconds=0.3)
    assert result.requests == len(server.requests) > 0
    assert result.seconds >= 0.25
    assert time.monotonic() - began < 20


def test_what_is_warm_is_not_counted() -> None:
    result, server = result_of(lambda number, request: RIGHT, requests=50, warmup_s=0.1)
    assert result.requests == result.kinds["hit"].requests == 50
    assert len(server.requests) > 50


# -- errors ------------------------------------------------------------------------------------


def test_each_bad_reply_is_an_error_of_its_own_sort() -> None:
    def answer(number: int, request: bytes) -> bytes | None:
        return {
            0: RIGHT,
            1: b"-ERR no\r\n",
            2: b"$3\r\nabc\r\n",
            3: RIGHT.replace(b"xx", b"yx", 1),
            4: RIGHT + b"+more\r\n",
            5: None,
            6: b"nonsense, which has no end",
        }.get(number % 10, RIGHT)

    result, _ = result_of(answer, requests=100, connections=1)
    assert result.requests == 100
    assert (result.refused, result.wrong, result.closed) == (10, 40, 10)
    assert result.errors == 60 == result.kinds["hit"].errors
    assert result.sample == b"-ERR no\r\n"


def test_a_server_that_says_nothing_is_found_out() -> None:
    def answer(number: int, request: bytes) -> bytes:
        return RIGHT if number < 10 else b""

    result, _ = result_of(answer, seconds=0.2, drain_s=0.2)
    assert result.requests == 14
    assert result.unanswered == result.errors == 4  # one on each connection
    assert (result.refused, result.wrong, result.closed) == (0, 0, 0)
    assert result.latency.max >= 200_000


def test_what_was_due_and_never_sent_is_unanswered_too() -> None:
    result, server = result_of(lambda number, request: b"", seconds=0.5, rate=100, drain_s=0.1)
    assert len(server.requests) == 4
    assert result.requests == result.unanswered == 50


def test_a_closed_connection_is_opened_again() -> None:
    def answer(number: int, request: bytes) -> bytes | None:
        return None if number == 5 else RIGHT

    result, _ = result_of(answer, requests=40, connections=1)
    assert (result.requests, result.closed) == (40, 1)


# -- the open loop -----------------------------------------------------------------------------


def test_an_open_loop_keeps_its_rate_and_counts_from_when_a_request_was_due() -> None:
    """The server stands still for half a second of two: a quarter of what is due then waits for
    300 ms on average, and four connections ask for hardly any of it."""
    stood_still: list[float] = []

    def answer(number: int, request: bytes) -> bytes:
        if number == 100:
            began = time.monotonic()
            time.sleep(0.5)  # what is tested is how a standstill is seen
            stood_still.append(time.monotonic() - began)
        return RIGHT

    result, server = result_of(answer, rate=200.0, seconds=2.0)
    assert result.requests == len(server.requests) == 400
    assert result.seconds >= 1.99
    assert result.latency.max >= 450_000
    assert result.latency.p90 >= 200_000
    assert result.errors == 0


def test_what_the_generator_is_late_by_is_told() -> None:
    result, _ = result_of(lambda number, request: RIGHT, rate=200.0, seconds=0.5)
    assert result.requests == 100
    assert 0 <= result.late_p99_us <= result.late_max_us * 1.01


# -- what is sent ------------------------------------------------------------------------------


def test_uniform_keys_are_uniform_and_zipfs_first_is_the_most_frequent() -> None:
    def drawn(keys: Keys) -> Counter[int]:
        result, server = result_of(
            lambda number, request: RIGHT, kind=GET.of(keys), requests=4000, connections=8
        )
        assert result.errors == 0
        return Counter(map(number_in, server.requests))

    uniform = drawn(Keys(first=500, count=10))
    assert set(uniform) == set(range(500, 510))
    assert max(uniform.values()) < 2 * min(uniform.values())
    zipf = drawn(Keys(count=1000, choice="zipf"))
    harmonic = sum(1 / rank**0.99 for rank in range(1, 1001))
    assert zipf.most_common(1)[0][0] == 0
    assert zipf[0] == pytest.approx(4000 / harmonic, rel=0.2)
    assert zipf[0] > 1.4 * zipf[1] > 0


def test_keys_that_are_drawn_once_come_in_turn() -> None:
    keys = Keys(first=7, count=300, choice="once")
    _, server = result_of(lambda number, request: RIGHT, kind=GET.of(keys), requests=300)
    assert sorted(map(number_in, server.requests)) == list(range(7, 307))


def test_kinds_come_by_their_weights_and_are_told_apart() -> None:
    read, write = GET.of(Keys(), 90), replace(GET, name="other", weight=10)
    with ScriptedServer(LENGTH, lambda number, request: RIGHT) as server:
        (result,) = run(replace(load(server, requests=2000), kinds=[read, write]))
    assert result.kinds["hit"].requests + result.kinds["other"].requests == 2000
    assert 100 < result.kinds["other"].requests < 320


def test_connections_are_spread_over_the_ports() -> None:
    def answer(number: int, request: bytes) -> bytes:
        return RIGHT

    with ScriptedServer(LENGTH, answer) as one, ScriptedServer(LENGTH, answer) as other:
        (result,) = run(load(one, ports=[one.port, other.port], requests=400))
    assert len(one.requests) + len(other.requests) == result.requests == 400
    assert min(len(one.requests), len(other.requests)) > 0


def test_the_holes_of_a_batch_get_numbers_that_follow() -> None:
    batch = frames.resp_mget(1).of(Keys(count=100))
    right = f"*{frames.BATCH}\r\n".encode() + b"$1\r\nx\r\n" * frames.BATCH
    with ScriptedServer(len(batch.frame), lambda number, request: right) as server:
        (result,) = run(load(server, kind=batch, requests=20))
    assert result.errors == 0
    for request in server.requests:
        keys = [int(word[4:]) for word in request.decode().split("\r\n") if word[:4] == "key:"]
        assert keys == [(keys[0] + number) % 100 for number in range(frames.BATCH)]


# -- protocols ---------------------------------------------------------------------------------

BATCH_REPLY = b"\x80" + bytes.fromhex("8281a0f6") + b"\xbf\x01\x5f\x41\x61\x41\x62\xff\xff"
"""Two values behind the empty array, the second of indefinite length."""


@pytest.mark.parametrize(
    ("protocol", "right", "refusal"),
    [
        ("dax", frames.dax_item(1000), encode_error(RequestError("ValidationException", "no"))),
        ("dax", BATCH_REPLY, encode_error(RequestError("ThrottlingException", "no"))),
        (
            "http",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-paceline-cache: hit\r\n\r\n{}",
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\n{ }",
        ),
        ("memcached", b"VALUE key:1 0 4\r\nEND\r\nEND\r\n", b"SERVER_ERROR out of memory\r\n"),
        ("memcached", b"END\r\n", b"ERROR\r\n"),
        ("resp", b"*2\r\n$1\r\nx\r\n*1\r\n:7\r\n", b"-ERR\r\n"),
        ("resp", b"$-1\r\n", b"-ERR\r\n"),
    ],
)
@pytest.mark.parametrize("piece", [0, 3])
def test_replies_end_where_they_end(
    protocol: str, right: bytes, refusal: bytes, piece: int
) -> None:
    """Each third reply is an error, each seventh one byte too long."""
    values = 2 if right == BATCH_REPLY else 1
    kind = Kind(
        "one", b"request", Reply(prefix=right if protocol != "http" else b"", values=values)
    )

    def answer(number: int, request: bytes) -> bytes:
        return refusal if number % 3 == 2 else right

    with ScriptedServer(7, answer, hello=2, piece=piece) as server:
        (result,) = run(
            load(server, kind=kind, requests=30, protocol=protocol, hello=b"hi", connections=2)
        )
    assert (result.requests, result.refused, result.errors) == (30, 10, 10)


@pytest.mark.parametrize("protocol", ["resp", "http"])
def test_a_reply_of_another_length_is_wrong(protocol: str) -> None:
    """With HTTP the body's length counts, whatever the head's is."""

    def answer(number: int, request: bytes) -> bytes:
        value = b"x" * (18 + number % 5)
        if protocol == "resp":
            return b"$%d\r\n%b\r\n" % (len(value), value)
        spare = b"spare: header\r\n" * (number % 2)
        return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (spare, len(value), value)

    lengths = (19, 21) if protocol == "http" else (26, 28)
    kind = replace(GET, reply=Reply(*lengths))
    with ScriptedServer(LENGTH, answer) as server:
        (result,) = run(load(server, kind=kind, requests=100, protocol=protocol))
    assert (result.wrong, result.errors) == (40, 40)


def test_tls(tmp_path: Path) -> None:
    told = features()
    if not told["tls"]:
        pytest.skip(told["library"])
    certificate, key = Authority.new().issue(["localhost"])
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with ScriptedServer(LENGTH, lambda number, request: RIGHT, tls=context, piece=9) as server:
        (result,) = run(load(server, requests=100, tls=True))
    assert (result.requests, result.errors) == (100, 0)


# -- the histogram -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_percentiles_are_off_by_one_part_in_256_at_most(seed: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    values = [int(chance.lognormvariate(12, 2)) + 1 for _ in range(20_000)]
    done = subprocess.run(
        [build(), "histogram"],
        input="\n".join(map(str, values)),
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    values.sort()
    assert told["count"] == len(values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
        exact = values[int(share * len(values) + 0.999999) - 1]
        assert told[f"{name}_us"] * 1000 == pytest.approx(exact, rel=1 / 256, abs=1)
    assert told["max_us"] * 1000 == pytest.approx(values[-1], abs=1)
    assert told["mean_us"] * 1000 == pytest.approx(statistics.fmean(values), rel=1e-6, abs=1)


# -- what cannot be ----------------------------------------------------------------------------


def test_a_port_that_nobody_listens_on_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        with pytest.raises(LoadFailed, match=f"to port {port} was not accepted"):
            run(Load("resp", b"", [GET], [port]))


def test_a_frame_whose_number_is_there_twice_is_refused() -> None:
    kind = Kind("twice", frames.resp_command("GET", str(MARK), str(MARK)), Reply())
    with pytest.raises(ValueError, match="2 times"):
        kind.holes()


def test_without_a_compiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CannotBuild, match="apt install gcc"):
        build.__wrapped__(tmp_path)


def test_it_compiles_without_a_warning(tmp_path: Path) -> None:
    sources = [str(path) for path in SOURCE.glob("*.c")]
    for more in ((), ("-DWITH_TLS",)) if features()["tls"] else ((),):
        subprocess.run(
            [compiler(), *FLAGS, *more, "-Werror", "-fsyntax-only", *sources], check=True
        )


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho no such luck >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(CannotBuild, match="no such luck"):
        build.__wrapped__(tmp_path)
