"""The socket between workers and recorder, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from vestibule.core.errors import LinkError, StoreError
from vestibule.core.visit import Hit
from vestibule.link import MAX_FRAME, Delivery, Receiver, Sender, call
from vestibule.link.frames import read
from vestibule.link.unkept import Unkept


class Recorder:
    """The other end: remembers what it gets. keeps: whether that is on disk at once; else with ``keep``."""

    def __init__(self, *, keeps: bool = True) -> None:
        self.hits: list[Hit] = []
        self.deliveries: list[Delivery] = []
        self._keeps = keeps
        self._kept: list[asyncio.Future[None]] = []
        self.dropped = 0
        self.refusals: Counter[int] = Counter()
        self.records: list[Mapping[str, Any]] = []
        self.delay = 0.0

    async def on_hits(
        self, hits: Sequence[Hit], dropped: int, delivery: Delivery | None
    ) -> asyncio.Future[None] | None:
        self.hits += hits
        self.dropped += dropped
        if delivery is None:
            return None
        self.deliveries.append(delivery)
        self._kept.append(asyncio.get_running_loop().create_future())
        if self._keeps:
            self.keep()
        return self._kept[-1]

    def keep(self) -> None:
        for kept in self._kept:
            if not kept.done():
                kept.set_result(None)

    async def on_record(self, record: Mapping[str, Any]) -> None:
        await asyncio.sleep(self.delay)
        self.records.append(record)

    async def on_call(self, name: str, given: Mapping[str, Any]) -> Any:
        if name == "echo":
            return dict(given)
        if name == "slow":
            await asyncio.sleep(self.delay)
            return "late"
        if name == "closed":
            raise StoreError("store: away")
        if name == "huge":
            return "x" * (MAX_FRAME + 1)
        raise ZeroDivisionError("secret words")

    async def serve(self, path: str) -> Receiver:
        receiver = Receiver()
        await receiver.serve(path, self.on_hits, self.on_record, self.on_call, self.refusals.update)
        return receiver


def hit(number: int) -> Hit:
    return Hit(
        "relaso.com",
        float(number),
        address="192.0.2.1",
        path=f"/{number}",
        blocked=(("ga", "statistics", "", "url"),),
        event=(("choice", "accept"),),
    )


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - it is another's state
            await asyncio.sleep(0.01)


def with_recorder(
    body: Callable[[Recorder, Sender, str], Awaitable[None]], path: str, raised: list[dict[str, Any]] | None = None
) -> None:
    """raised: takes what nobody caught."""

    async def run() -> None:
        if raised is not None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        recorder = Recorder()
        receiver = await recorder.serve(path)
        sender = Sender(path)
        running = asyncio.create_task(sender.run())
        try:
            await body(recorder, sender, path)
        finally:
            await sender.close()
            await running
            await receiver.close()

    asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "r.sock")


def test_hits_arrive_whole_and_in_order(path: str) -> None:
    async def body(recorder: Recorder, sender: Sender, _: str) -> None:
        for number in range(1200):
            sender.send(hit(number))
        await until(lambda: len(recorder.hits) == 1200)
        assert recorder.hits == [hit(number) for number in range(1200)]
        assert (recorder.dropped, sender.dropped) == (0, 0)

    with_recorder(body, path)


def test_hits_that_are_too_long_together_go_one_by_one_and_too_long_ones_are_dropped(path: str) -> None:
    """What visitors write into their fields never ends the counting."""
    long = hit(1)._replace(agent="x" * (MAX_FRAME // 8))
    endless = hit(2)._replace(agent="x" * MAX_FRAME)

    async def body(recorder: Recorder, sender: Sender, _: str) -> None:
        for each in (*[long] * 12, endless, hit(3)):
            sender.send(each)
        await until(lambda: len(recorder.hits) == 13)
        assert recorder.hits == [*[long] * 12, hit(3)]
        sender.send(hit(4))
        await until(lambda: recorder.hits[-1] == hit(4) and recorder.dropped == 1)
        assert sender.dropped == 1

    with_recorder(body, path)


def test_refusals_are_counted_even_where_nothing_else_is_told(path: str) -> None:
    async def body(recorder: Recorder, sender: Sender, _: str) -> None:
        for status in (400, 503, 400):
            sender.refused(status)
        await until(lambda: recorder.refusals == {400: 2, 503: 1})
        sender.refused(400)
        sender.send(hit(1))
        await until(lambda: recorder.refusals == {400: 3, 503: 1})
        assert recorder.hits == [hit(1)]

    with_recorder(body, path)


def test_what_is_left_is_sent_on_closing(path: str) -> None:
    async def run() -> None:
        recorder = Recorder()
        receiver = await recorder.serve(path)
        sender = Sender(path)
        running = asyncio.create_task(sender.run())
        await asyncio.sleep(0.05)
        sender.send(hit(1))
        await sender.close()
        await running
        await until(lambda: recorder.hits == [hit(1)])
        await receiver.close()

    asyncio.run(run())


def test_the_socket_is_private(path: str) -> None:
    async def body(_: Recorder, __: Sender, path: str) -> None:
        assert await asyncio.to_thread(lambda: Path(path).stat().st_mode & 0o777) == 0o600

    with_recorder(body, path)


def test_without_a_recorder_the_buffer_is_bounded_and_drops_are_told(path: str) -> None:
    async def run() -> None:
        sender = Sender(path, capacity=10)
        running = asyncio.create_task(sender.run())
        for number in range(25):
            sender.send(hit(number))
        await asyncio.sleep(0.3)
        assert sender.dropped == 15
        recorder = Recorder()
        receiver = await recorder.serve(path)
        await until(lambda: len(recorder.hits) == 10)
        assert [each.path for each in recorder.hits] == [f"/{number}" for number in range(10)]
        assert recorder.dropped == 15
        await sender.close()
        await running
        await receiver.close()

    asyncio.run(run())


def test_a_recorder_that_comes_back_is_found(path: str) -> None:
    async def run() -> None:
        first = Recorder()
        receiver = await first.serve(path)
        sender = Sender(path)
        running = asyncio.create_task(sender.run())
        sender.send(hit(1))
        await sender.record({"id": "a"})
        await until(lambda: len(first.hits) == 1)
        await receiver.close()
        with pytest.raises(LinkError):
            await sender.record({"id": "b"})
        second = Recorder()
        receiver = await second.serve(path)
        await sender.record({"id": "c"})
        await asyncio.sleep(0.3)
        sender.send(hit(2))
        await until(lambda: any(each == hit(2) for each in second.hits))
        assert second.records == [{"id": "c"}]
        await sender.close()
        await running
        await receiver.close()

    asyncio.run(run())


def test_what_a_recorder_has_not_written_goes_to_the_next(path: str) -> None:
    """In the same messages, by whose numbers it can tell what is on disk; and what is kept is never sent again."""

    async def run() -> None:
        first, second = Recorder(keeps=False), Recorder(keeps=False)
        sender = Sender(path)
        receiver = await first.serve(path)
        running = asyncio.create_task(sender.run())
        sender.send(hit(1))
        await until(lambda: first.hits == [hit(1)])
        first.keep()
        await until(lambda: not len(sender._unkept))
        for number in (2, 3):
            sender.send(hit(number))
            await until(lambda number=number: hit(number) in first.hits)  # type: ignore[misc]
        await receiver.close()
        sender.send(hit(4))
        receiver = await second.serve(path)
        await until(lambda: len(second.hits) == 3)
        assert second.hits == [hit(2), hit(3), hit(4)]
        assert second.deliveries[:2] == first.deliveries[1:]
        assert [delivery.number for delivery in second.deliveries] == [2, 3, 4]
        second.keep()
        await until(lambda: not len(sender._unkept))
        await sender.close()
        await running
        assert len(second.hits) == 3
        await receiver.close()

    asyncio.run(run())


def test_two_senders_have_names_of_their_own(path: str) -> None:
    async def body(recorder: Recorder, sender: Sender, path: str) -> None:
        other = Sender(path)
        running = asyncio.create_task(other.run())
        for each in (sender, other):
            each.send(hit(1))
        await until(lambda: len(recorder.hits) == 2)
        one, two = recorder.deliveries
        assert (one.number, two.number) == (1, 1)
        assert one.sender != two.sender
        await other.close()
        await running

    with_recorder(body, path)


@pytest.mark.parametrize("keeps", [True, False])
def test_whoever_ends_waits_a_moment_for_what_it_handed_over_to_be_kept(
    path: str, keeps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestibule.link.sending.END_PATIENCE", 0.3)

    async def run() -> None:
        recorder = Recorder(keeps=False)
        receiver = await recorder.serve(path)
        sender = Sender(path)
        running = asyncio.create_task(sender.run())
        await sender.call("echo")
        await asyncio.sleep(0.05)
        sender.send(hit(1))
        await sender.close()
        await until(lambda: any(delivery.last for delivery in recorder.deliveries))
        assert not running.done()
        if keeps:
            recorder.keep()
        await asyncio.wait_for(running, 5)
        assert bool(len(sender._unkept)) is not keeps
        await receiver.close()

    asyncio.run(run())


def test_whoever_is_told_to_end_while_the_recorder_is_away_looks_for_it_once_more(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vestibule.link.sending.TRY_AGAIN", 60.0)

    async def run() -> None:
        recorder, sender = Recorder(), Sender(path)
        running = asyncio.create_task(sender.run())
        sender.send(hit(1))
        await asyncio.sleep(0.1)
        receiver = await recorder.serve(path)
        await sender.close()
        await asyncio.wait_for(running, 5)
        assert recorder.hits == [hit(1)]
        await receiver.close()

    asyncio.run(run())


def test_what_is_held_is_bounded(path: str) -> None:
    held = Unkept(limit=100)
    for number in range(1, 31):
        held.add(number, b"x" * 10)
    assert held.frames() == [(number, b"x" * 10) for number in range(21, 31)]
    fullness = [held.full]
    held.kept(1)
    held.kept(25)
    assert [number for number, _ in held.frames()] == [26, 27, 28, 29, 30], "all before it are kept too"
    fullness.append(held.full)
    held.add(31, b"x" * 10)
    fullness.append(held.full)
    assert fullness == [True, False, True]
    held.add(32, b"x" * 500)
    assert held.frames() == [(32, b"x" * 500)]
    held.kept(99)
    assert (len(held), held.full) == (0, False)


def test_a_backlog_waits_for_the_disk_and_nothing_is_lost_with_a_recorder_that_took_it(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes faster than any disk takes it, and is more than what a worker can hold."""
    monkeypatch.setattr("vestibule.link.sending.HELD_PATIENCE", 60.0, raising=False)

    async def run() -> None:
        first, second = Recorder(keeps=False), Recorder()
        sender = Sender(path)
        sender._unkept = Unkept(limit=100_000)
        for number in range(5000):
            sender.send(hit(number))
        receiver = await first.serve(path)
        running = asyncio.create_task(sender.run())
        await until(lambda: len(first.hits) > 300)
        await asyncio.sleep(0.2)
        await receiver.close()
        receiver = await second.serve(path)
        await until(lambda: len(second.hits) >= 5000)
        assert second.hits == [hit(number) for number in range(5000)]
        assert len(first.hits) < 1000
        assert sender.dropped == 0
        await sender.close()
        await running
        await receiver.close()

    asyncio.run(run())


def test_a_recorder_that_cannot_write_is_given_all_there_is(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for once; what it has in memory is more than what a worker can hold."""
    monkeypatch.setattr("vestibule.link.sending.HELD_PATIENCE", 0.3)

    async def run() -> None:
        recorder, sender = Recorder(keeps=False), Sender(path)
        sender._unkept = Unkept(limit=20_000)
        for number in range(3000):
            sender.send(hit(number))
        receiver = await recorder.serve(path)
        running = asyncio.create_task(sender.run())
        await until(lambda: len(recorder.hits) == 3000)
        assert recorder.hits == [hit(number) for number in range(3000)]
        recorder.keep()
        await until(lambda: not len(sender._unkept))
        await sender.close()
        await running
        await receiver.close()

    asyncio.run(run())


def test_of_hits_that_are_too_long_together_none_is_lost_with_the_connection(path: str) -> None:
    long = [hit(number)._replace(query="x" * 300_000) for number in range(40)]

    async def run() -> None:
        heard: list[Any] = []

        async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """As a recorder that is killed with the first that it hears."""
            heard.append(await read(reader))
            writer.transport.abort()

        server = await asyncio.start_unix_server(dies, path)
        recorder, sender = Recorder(), Sender(path)
        for each in long:
            sender.send(each)
        running = asyncio.create_task(sender.run())
        await until(lambda: len(heard) > 1)
        server.close()
        receiver = await recorder.serve(path)
        await until(lambda: len(recorder.hits) >= 40)
        assert recorder.hits == long
        await sender.close()
        await running
        await receiver.close()

    asyncio.run(run())


def test_processes_that_are_forked_have_names_of_their_own(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server may load the app before it forks its workers, or run it once before."""

    async def body(recorder: Recorder, _: Sender, path: str) -> None:
        forked = Sender(path)
        made = forked._name
        forked._number = 7
        forked._unkept.add(7, b"another's")
        monkeypatch.setattr("os.getpid", lambda: -1)
        for number in (1, 2):  # of a second run it is the same one
            forked.send(hit(number))
            running = asyncio.create_task(forked.run())
            await until(lambda number=number: len(recorder.hits) == number)  # type: ignore[misc]
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        one, two = recorder.deliveries
        assert one.sender == two.sender != made
        assert (one.number, two.number) == (1, 2)

    with_recorder(body, path)


def test_whoever_ends_looks_for_a_recorder_once_more_where_one_dies_meanwhile(path: str) -> None:
    async def run() -> None:
        async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while (message := await read(reader)) is not None:
                if message.get("last"):
                    server.close()
                    receivers.append(await recorder.serve(path))
                    break
            writer.transport.abort()

        receivers: list[Receiver] = []
        recorder, sender = Recorder(), Sender(path)
        server = await asyncio.start_unix_server(dies, path)
        for number in range(40):
            sender.send(hit(number))
        running = asyncio.create_task(sender.run())
        await asyncio.sleep(0.3)
        await sender.close()
        await asyncio.wait_for(running, 5)
        assert recorder.hits == [hit(number) for number in range(40)]
        assert not len(sender._unkept)
        await receivers[0].close()

    asyncio.run(run())


def test_records_are_acknowledged_and_late_ones_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vestibule.link.sending.ASK_TIMEOUT", 0.2)

    async def body(recorder: Recorder, sender: Sender, _: str) -> None:
        await sender.record({"id": "a", "purposes": ["statistics"]})
        assert recorder.records == [{"id": "a", "purposes": ["statistics"]}]
        recorder.delay = 0.5
        with pytest.raises(LinkError, match="TimeoutError"):
            await sender.record({"id": "late"})
        recorder.delay = 0
        # The late answer must not pass for this one's.
        await sender.record({"id": "b"})
        assert recorder.records[-1] == {"id": "b"}

    with_recorder(body, path)


def test_many_at_a_time_get_their_own_answers(path: str) -> None:
    async def body(_: Recorder, sender: Sender, __: str) -> None:
        answers = await asyncio.gather(*(sender.call("echo", number=number) for number in range(50)))
        assert answers == [{"number": number} for number in range(50)]

    with_recorder(body, path)


@pytest.mark.parametrize(
    ("name", "words"),
    [("closed", "store: away"), ("fail", "the recorder failed: ZeroDivisionError"), ("huge", "too long")],
)
def test_failures_are_told_in_one_line(path: str, name: str, words: str) -> None:
    async def body(_: Recorder, sender: Sender, path: str) -> None:
        with pytest.raises(LinkError, match=words) as caught:
            await sender.call(name)
        assert "secret words" not in str(caught.value)
        with pytest.raises(LinkError, match=words):
            await asyncio.to_thread(call, path, name)
        assert await sender.call("echo") == {}

    with_recorder(body, path)


def test_commands_ask_too(path: str) -> None:
    async def body(_: Recorder, __: Sender, path: str) -> None:
        assert await asyncio.to_thread(call, path, "echo", by="page", limit=3) == {"by": "page", "limit": 3}

    with_recorder(body, path)


def test_commands_are_told_when_nobody_is_there(path: str) -> None:
    with pytest.raises(LinkError, match="cannot be reached"):
        call(path, "echo")


def frame(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", MAX_FRAME + 1),
        frame(b"not json"),
        frame(b"[1, 2]"),
        frame(b'{"hits": 3}'),
        frame(b'{"hits": [], "refusals": 3, "dropped": "x", "meter": []}'),
        frame(b'{"hits": [], "from": "x y", "number": 1}'),
        frame(b'{"hits": [], "from": "0123456789abcdef", "number": 9223372036854775808, "last": 3}'),
        frame(b'{"hits": [], "from": ["0123456789abcdef"], "number": true}'),
        frame('{"hits": [], "refusals": {"²²²": 1}}'.encode()),
        frame(b"[" * 100_000),
        frame(b'{"hits": ' + b"[" * 100_000),
        frame(b"\xff\xfe"),
        frame(b'{"call": 3, "with": 4}')[:9],
        frame(b"{}")[:3],
    ],
)
def test_nonsense_ends_its_connection_and_nothing_else(path: str, data: bytes) -> None:
    async def body(recorder: Recorder, sender: Sender, path: str) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(data)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await sender.record({"id": "a"})
        sender.send(hit(1))
        await until(lambda: recorder.hits == [hit(1)])
        assert not raised
        assert (recorder.dropped, recorder.refusals) == (0, {})

    raised: list[dict[str, Any]] = []
    with_recorder(body, path, raised)


@pytest.mark.parametrize(
    "row",
    [
        [],
        {},
        ["site", "no time"],
        hit(3).to_json()[:-1],
        [*hit(3).to_json(), 5],
        *(hit(3)._replace(time=time).to_json() for time in (6e10, -1e300, float("inf"), float("nan"))),
        hit(3)._replace(path=None).to_json(),  # type: ignore[arg-type]
        hit(3)._replace(status=True).to_json(),
        hit(3)._replace(blocked=(("a", "b", "c"),)).to_json(),  # type: ignore[arg-type]
        hit(3)._replace(event=(("a", 1),)).to_json(),  # type: ignore[arg-type]
    ],
)
def test_rows_of_another_version_count_as_dropped(path: str, row: Any) -> None:
    async def body(recorder: Recorder, sender: Sender, path: str) -> None:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(frame(json.dumps({"hits": [hit(1).to_json(), row, hit(2).to_json()], "dropped": 4}).encode()))
        await until(lambda: recorder.hits == [hit(1), hit(2)])
        assert recorder.dropped == 5
        writer.close()

    with_recorder(body, path)


def test_halves_of_characters_keep_nothing_from_being_told(path: str) -> None:
    async def body(recorder: Recorder, sender: Sender, path: str) -> None:
        odd = hit(1)._replace(path="/\udc80\ud800", agent="ÿ\x00 \u2028")
        sender.send(odd)
        sender.send(hit(2))
        await until(lambda: recorder.hits == [odd, hit(2)])
        assert await sender.call("echo", text="\ud800") == {"text": "\ud800"}
        assert await asyncio.to_thread(call, path, "echo", text="\udfff") == {"text": "\udfff"}

    with_recorder(body, path)


def test_a_socket_that_a_dead_process_left_is_replaced(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)

    async def body(_: Recorder, sender: Sender, __: str) -> None:
        assert await sender.call("echo") == {}

    with_recorder(body, path)
