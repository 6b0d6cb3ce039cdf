"""The adapter with a real server in its daily life: what it is asked, what it may hold, who is let in."""

import asyncio
import gc
import random
import re
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.local.backends import Backend
from shared.cache.redis.connection import Connection
from shared.cache.redis.encoding import HEADER_BYTES, decode, encode
from shared.cache.redis.snapshots import RedisSnapshots
from tests.contract.cache.cache_subject import connect, state
from tests.contract.cache.waiting import soon, unavailable

NewJob = Callable[[], str]


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Connection]:
    async with connect(redis_url) as connection:
        yield connection


@pytest.fixture
def snapshots(connection: Connection) -> RedisSnapshots:
    return RedisSnapshots(connection)


async def calls_of(connection: Connection) -> dict[str, int]:
    """How often each command has been carried out, by the server's own count."""
    text = (await connection.execute("INFO", "commandstats")).decode()
    return {name: int(count) for name, count in re.findall(r"cmdstat_(\S+?):calls=(\d+)", text)}


async def test_fetches_of_one_moment_are_one_mget(own_redis: Backend, new_job: NewJob) -> None:
    jobs = [new_job() for _ in range(100)]
    async with connect(own_redis.address) as connection:
        snapshots = RedisSnapshots(connection)
        await asyncio.gather(*(snapshots.tell(state(job, 1)) for job in jobs))
        before = await calls_of(connection)
        found = await asyncio.gather(*(snapshots.fetch(job) for job in [*jobs, *jobs]))
        after = await calls_of(connection)
    assert found == [state(job, 1) for job in [*jobs, *jobs]]
    assert after.get("mget", 0) - before.get("mget", 0) == 1
    assert after.get("get", 0) == before.get("get", 0)


async def test_a_script_is_sent_once_and_again_after_the_server_forgot_it(own_redis: Backend, new_job: NewJob) -> None:
    async with connect(own_redis.address) as connection:
        snapshots = RedisSnapshots(connection)

        async def tell_and_watch() -> int:
            job = new_job()
            await snapshots.tell(state(job, 1))
            assert await snapshots.watch("gw", [job]) == [state(job, 1)]
            return (await calls_of(connection)).get("eval", 0)

        assert [await tell_and_watch() for _ in range(3)] == [2, 2, 2]
        await connection.execute("SCRIPT", "FLUSH")
        assert [await tell_and_watch() for _ in range(3)] == [4, 4, 4]


async def test_many_that_find_the_script_forgotten_all_get_through(own_redis: Backend, new_job: NewJob) -> None:
    jobs = [new_job() for _ in range(500)]
    async with connect(own_redis.address) as connection:
        snapshots = RedisSnapshots(connection)
        flushing = [connection.execute("SCRIPT", "FLUSH") for _ in range(3)]
        telling = asyncio.gather(*(snapshots.tell(state(job, 1)) for job in jobs))
        await asyncio.gather(*flushing, telling)
        assert await snapshots.watch("gw", jobs) == [state(job, 1) for job in jobs]


async def test_a_flush_in_the_middle_is_only_a_miss(own_redis: Backend, new_job: NewJob) -> None:
    job = new_job()
    async with connect(own_redis.address) as connection:
        snapshots = RedisSnapshots(connection)
        async with snapshots.listen("gw") as heard:
            await snapshots.watch("gw", [job])
            await snapshots.tell(state(job, 1))
            await connection.execute("FLUSHALL")
            assert await snapshots.fetch(job) is None
            assert await snapshots.watch("gw", [job]) == [None]
            await snapshots.tell(state(job, 2, terminal=True))
            assert [await soon(anext(heard)), await soon(anext(heard))] == [state(job, 1), state(job, 2, terminal=True)]


async def test_everything_has_a_time_to_live_and_an_ended_watch_leaves_nothing(
    own_redis: Backend, new_job: NewJob
) -> None:
    live, over = new_job(), new_job()
    async with connect(own_redis.address) as connection:
        snapshots = RedisSnapshots(connection)
        await snapshots.watch("gw", [live, over])
        await snapshots.tell(state(live, 4_608))
        await snapshots.tell(state(over, 1, terminal=True))
        await snapshots.watch("gw", [over])
        keys = sorted(await connection.execute("KEYS", "*"))
        assert keys == sorted(key.encode() for key in (f"job:{{{live}}}", f"job:{{{over}}}", f"watch:{{{live}}}"))
        ttls = [await connection.execute("TTL", key) for key in keys]
    assert sorted(ttls) == [pytest.approx(10, abs=2), pytest.approx(120, abs=2), pytest.approx(3_600, abs=2)]


GOOD = encode(state("x", 5, terminal=True))


@pytest.mark.parametrize(
    "held",
    [b"", b"{}", GOOD[:18], GOOD[:5], b"2" + GOOD[1:], GOOD[:17] + b"?" + GOOD[18:], b"1" + b" " * 12 + GOOD[13:]],
)
async def test_what_cannot_be_read_is_a_miss_and_gives_way(
    connection: Connection, snapshots: RedisSnapshots, job: str, gateway: str, held: bytes
) -> None:
    await connection.execute("SET", f"job:{{{job}}}", held, "EX", 60)
    assert await snapshots.fetch(job) is None
    async with snapshots.listen(gateway) as heard:
        assert await snapshots.watch(gateway, [job]) == [None]
        await snapshots.tell(state(job, 1))
        assert await soon(anext(heard)) == state(job, 1)
    assert await snapshots.fetch(job) == state(job, 1)


@pytest.mark.parametrize("seed", range(3))
async def test_the_scripts_read_values_as_we_do(
    connection: Connection, snapshots: RedisSnapshots, new_job: NewJob, seed: int
) -> None:
    rng = random.Random(seed)

    async def spoil_and_tell() -> None:
        job = new_job()
        held = bytearray(encode(state(job, rng.choice([4, 5, 6]), terminal=rng.random() < 0.5)))
        for _ in range(rng.randrange(3)):
            held[rng.randrange(HEADER_BYTES)] = rng.choice([*b"0159TL\n .-x\xff", rng.randrange(256)])
        del held[rng.choice([len(held), rng.randrange(len(held))]) :]
        understood = decode(job, bytes(held))
        await connection.execute("SET", f"job:{{{job}}}", bytes(held), "EX", 60)
        assert await snapshots.watch("gw", [job]) == [understood]
        watched = await connection.execute("EXISTS", f"watch:{{{job}}}")
        assert watched == (understood is None or not understood.terminal)
        await snapshots.tell(state(job, 5))
        newer = understood is not None and understood.order > 5
        assert await snapshots.fetch(job) == (understood if newer else state(job, 5))

    await asyncio.gather(*(spoil_and_tell() for _ in range(400)))


async def test_a_message_that_cannot_be_read_is_passed_over(
    connection: Connection, snapshots: RedisSnapshots, job: str, gateway: str
) -> None:
    async with snapshots.listen(gateway) as heard:
        for noise in (b"", b"noise", b"job\nnoise", b"\xff\n" + GOOD[:9]):
            assert await connection.execute("PUBLISH", f"gw:{gateway}", noise) == 1
        await snapshots.watch(gateway, [job])
        await snapshots.tell(state(job, 1))
        assert await soon(anext(heard)) == state(job, 1)


async def test_a_key_of_another_type_is_a_fault_that_says_so(
    connection: Connection, snapshots: RedisSnapshots, job: str
) -> None:
    await connection.execute("SADD", f"job:{{{job}}}", "x")
    await connection.execute("EXPIRE", f"job:{{{job}}}", 60)
    assert "WRONGTYPE" in await unavailable(snapshots.tell(state(job, 1)))
    assert "WRONGTYPE" in await unavailable(snapshots.watch("gw", [job, job]))
    assert await snapshots.fetch(job) is None


async def test_where_many_fail_together_the_loop_has_nothing_to_report(
    connection: Connection, snapshots: RedisSnapshots, job: str
) -> None:
    await connection.execute("SADD", f"job:{{{job}}}", "x")
    await connection.execute("EXPIRE", f"job:{{{job}}}", 60)
    loop = asyncio.get_running_loop()
    reported: list[object] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    try:
        await unavailable(snapshots.watch("gw", [job] * 9))
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(None)
    assert reported == []


# Who is let in


async def test_users_and_passwords(own_redis: Backend) -> None:
    port = own_redis.address.rpartition(":")[2].partition("/")[0]
    async with connect(own_redis.address) as admin:
        await admin.execute("ACL", "SETUSER", "alice", "on", ">w/onder@land", "~*", "&*", "+@all")
        async with connect(f"redis://alice:w%2Fonder%40land@127.0.0.1:{port}") as connection:
            assert await connection.execute("ACL", "WHOAMI") == b"alice"
        async with connect(f"redis://alice:wrong@127.0.0.1:{port}") as connection:
            why = await unavailable(connection.ping())
            assert "WRONGPASS" in why
            assert "wrong" not in why.replace("WRONGPASS", "").replace("wrong number", "")
        await admin.execute("CONFIG", "SET", "requirepass", "sesame")
    async with connect(f"redis://127.0.0.1:{port}") as connection:
        assert "NOAUTH" in await unavailable(connection.ping())
    async with connect(f"redis://:sesame@127.0.0.1:{port}") as connection:
        assert await connection.execute("ACL", "WHOAMI") == b"default"


async def test_databases_keep_apart(own_redis: Backend, job: str) -> None:
    base = own_redis.address.rpartition("/")[0]
    async with connect(f"{base}/1") as one, connect(f"{base}/2") as two:
        await RedisSnapshots(one).tell(state(job, 1))
        assert await RedisSnapshots(two).fetch(job) is None
        assert await RedisSnapshots(one).fetch(job) == state(job, 1)
    async with connect(f"{base}/9999") as beyond:
        assert "out of range" in await unavailable(beyond.ping())


async def test_tls_is_spoken_to_who_is_certified_and_to_nobody_else(
    redis_url: str, job: str, gateway: str, tmp_path: Path
) -> None:
    authority, key = certificate(tmp_path)
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(authority, key)
    port, database = re.fullmatch(r"redis://127\.0\.0\.1:(\d+)/(\d+)", redis_url).groups()  # type: ignore[union-attr]
    front = await asyncio.start_server(Front(int(port)), "127.0.0.1", 0, ssl=served)
    async with front:
        url = f"rediss://127.0.0.1:{front.sockets[0].getsockname()[1]}/{database}"
        async with connect(f"{url}?ssl_ca_certs={authority}") as connection:
            snapshots = RedisSnapshots(connection)
            async with snapshots.listen(gateway) as heard:
                await snapshots.watch(gateway, [job])
                await snapshots.tell(state(job, 1, body=b"x" * 300_000))
                assert await snapshots.fetch(job) == await soon(anext(heard))
        async with connect(url) as connection:
            assert "certificate" in await unavailable(connection.ping())


class Front:
    """What stands before a server in the clear and speaks TLS."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(pass_on(reader, server_writer), pass_on(server_reader, writer))


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass  # one side has left; so does the other
    finally:
        writer.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths
