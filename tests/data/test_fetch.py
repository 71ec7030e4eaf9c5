"""Fetching assets, against a real HTTP server with faults and a scripted npm."""

import hashlib
import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.archives import write_program
from helpers.file_server import CONTENT, FAULTS, HASH, NUM_BYTES, Handler, Server, asset, source

from cifar_tricks.base.errors import UserError
from cifar_tricks.data import http_source
from cifar_tricks.data.assets import Asset, Deb, Http, Npm
from cifar_tricks.data.fetch import BY_HAND, fetch
from cifar_tricks.data.transport import DownloadBar, Limits, SourceFailed

LIMITS = Limits(
    connect_seconds=1,
    answer_seconds=0.5,
    stall_seconds=0.2,
    least_bytes_per_second=0,
    retries=1,
    backoff_seconds=0.01,
    package_seconds=5,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


def test_downloads_verifies_and_remembers_the_source(server: Server, folder: Path) -> None:
    things = asset(server.source("/a", FAULTS.whole()))
    fetched = fetch(things, folder, limits=LIMITS)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.manifest_entry() == {
        "source": f"http://127.0.0.1:{server.server_port}/a",
        "file": "data.bin",
        "sha256": HASH,
        "bytes": NUM_BYTES,
    }
    names = {path.name for path in folder.iterdir()}
    assert names - {".lock"} == {"data.bin", "data.bin.source.json"}
    assert fetch(things, folder, limits=LIMITS) == fetched
    assert len(server.requests) == 1


@pytest.mark.fault("download")
def test_a_dropped_connection_resumes_with_the_same_source(server: Server, folder: Path) -> None:
    behaviour = FAULTS.sequence(FAULTS.cut_after(1000), FAULTS.whole())
    fetch(asset(server.source("/a", behaviour)), folder, limits=LIMITS)
    assert [request.range for request in server.requests] == [None, "bytes=1000-"]
    assert sum(request.sent for request in server.requests) == NUM_BYTES


@pytest.mark.fault("download")
def test_a_later_run_fetches_only_the_rest_even_from_a_mirror(server: Server, folder: Path) -> None:
    first = server.source("/a", FAULTS.sequence(FAULTS.cut_after(1000), FAULTS.status(404)))
    with pytest.raises(UserError, match="HTTP 404"):
        fetch(asset(first), folder, limits=LIMITS)
    assert [path.stat().st_size for path in folder.glob("*.part")] == [1000]
    server.requests.clear()
    fetched = fetch(asset(server.source("/b", FAULTS.whole())), folder, limits=LIMITS)
    assert fetched.path.read_bytes() == CONTENT
    assert [(request.range, request.sent) for request in server.requests] == [
        ("bytes=1000-", NUM_BYTES - 1000)
    ]


def ignores_range(handler: Handler) -> None:
    handler.start(200, Content_Length=NUM_BYTES)
    handler.body(CONTENT)


def wrong_content_range(handler: Handler) -> None:
    if not handler.range:
        return FAULTS.whole()(handler)
    span = f"bytes 0-{NUM_BYTES - 1001}/{NUM_BYTES}"
    handler.start(206, Content_Length=NUM_BYTES - 1000, Content_Range=span)
    handler.body(CONTENT[:-1000])


def not_satisfiable(handler: Handler) -> None:
    return FAULTS.status(416)(handler) if handler.range else FAULTS.whole()(handler)


@pytest.mark.parametrize("behaviour", [ignores_range, wrong_content_range, not_satisfiable])
@pytest.mark.fault("download")
def test_restarts_cleanly_where_a_part_cannot_be_continued(
    server: Server, folder: Path, behaviour: Callable[[Handler], None]
) -> None:
    source = server.source("/a", behaviour)
    folder.mkdir()
    (folder / source.part_name).write_bytes(CONTENT[:1000])
    assert fetch(asset(source), folder, limits=LIMITS).path.read_bytes() == CONTENT
    assert server.requests[0].range == "bytes=1000-"


@pytest.mark.parametrize("length", [0, 1, NUM_BYTES - 1, NUM_BYTES, NUM_BYTES + 1])
@pytest.mark.parametrize("intact", [True, False])
@pytest.mark.fault("download")
def test_any_part_leads_to_the_whole_file(
    server: Server, folder: Path, length: int, intact: bool
) -> None:
    source = server.source("/a", FAULTS.whole())
    folder.mkdir()
    content = (CONTENT + b"x")[:length] if intact else b"\xee" * length
    (folder / source.part_name).write_bytes(content)
    assert fetch(asset(source), folder, limits=LIMITS).path.read_bytes() == CONTENT


def stalls(handler: Handler) -> None:
    handler.start(200, Content_Length=NUM_BYTES)
    handler.body(CONTENT[:1000])
    time.sleep(1)


def trickles(handler: Handler) -> None:
    handler.start(200, Content_Length=NUM_BYTES)
    for byte in CONTENT:
        handler.body(bytes([byte]))
        time.sleep(0.01)


def never_answers(handler: Handler) -> None:
    time.sleep(1)


def trickles_headers(handler: Handler) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 100:
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
        time.sleep(0.01)


def web_page(handler: Handler) -> None:
    handler.start(200, Content_Length=NUM_BYTES, Content_Type="text/html; charset=utf-8")
    handler.body(CONTENT)


def wrong_length(handler: Handler) -> None:
    handler.start(200, Content_Length=NUM_BYTES - 1)
    handler.body(CONTENT[:-1])


def endless(handler: Handler) -> None:
    handler.start(200)
    while True:
        handler.body(CONTENT)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (stalls, "stalled: no byte for 0.2 s"),
        (trickles, "too slow: 0 kB/s over 0.2 s"),
        (never_answers, "connected, but no answer"),
        (trickles_headers, "no answer within 0.5 s"),
        (FAULTS.status(503), "HTTP 503"),
        (FAULTS.status(404), "HTTP 404"),
        (web_page, "a web page instead of the file"),
        (wrong_length, f"it offers {NUM_BYTES - 1} bytes where {NUM_BYTES} are expected"),
        (endless, f"more than the expected {NUM_BYTES} bytes"),
        (FAULTS.whole(b"\xee" * NUM_BYTES), "does not have the expected hash"),
        (FAULTS.cut_after(10), "connection"),
    ],
)
@pytest.mark.fault("download")
def test_a_bad_source_is_given_up_for_the_next(
    server: Server,
    folder: Path,
    behaviour: Callable[[Handler], None],
    reason: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources = server.source("/bad", behaviour), server.source("/good", FAULTS.whole())
    fast = Limits(**{**vars(LIMITS), "least_bytes_per_second": 1000})
    start = time.monotonic()
    fetched = fetch(asset(*sources), folder, limits=fast)
    assert time.monotonic() - start < 2
    assert fetched.path.read_bytes() == CONTENT and fetched.source.endswith("/good")
    assert f"gave up {sources[0].via.name}" in (text := capsys.readouterr().err) and reason in text


@pytest.mark.fault("download")
def test_a_busy_server_is_tried_again(server: Server, folder: Path) -> None:
    behaviour = FAULTS.sequence(FAULTS.status(503), FAULTS.whole())
    fetch(asset(server.source("/a", behaviour)), folder, limits=LIMITS)
    assert len(server.requests) == 2


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.fault("download")
def test_the_next_source_goes_on_where_a_slow_one_was_given_up(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, drops: bool
) -> None:
    """Also where each connection ends before its rate is measured."""
    monkeypatch.setattr(http_source, "PROGRESS_BYTES", 5)

    def trickles_on(handler: Handler) -> None:
        first = int(handler.range[6:-1]) if handler.range else 0
        span = f"bytes {first}-{NUM_BYTES - 1}/{NUM_BYTES}"
        handler.start(206 if first else 200, Content_Range=span)
        for place in range(first, first + (10 if drops else 100)):
            handler.body(CONTENT[place : place + 1])
            time.sleep(0.01)

    sources = server.source("/slow", trickles_on), server.source("/good", FAULTS.whole())
    fast = Limits(**{**vars(LIMITS), "least_bytes_per_second": 1000})
    fetched = fetch(asset(*sources), folder, limits=fast)
    assert fetched.path.read_bytes() == CONTENT and fetched.source.endswith("/good")
    assert [request.path for request in server.requests[:-1]] == ["/slow"] * (
        len(server.requests) - 1
    )
    assert (len(server.requests) > 2) is drops
    kept = int((server.requests[-1].range or "bytes=0-")[6:-1])
    assert 0 < kept <= sum(request.sent for request in server.requests[:-1])


@pytest.mark.fault("download")
def test_a_slow_source_is_used_when_there_is_no_other(server: Server, folder: Path) -> None:
    def slow_at_first(handler: Handler) -> None:
        if handler.range:
            return FAULTS.whole()(handler)
        return trickles(handler)

    slow = server.source("/slow", slow_at_first)
    down = server.source("/down", FAULTS.status(404))
    fast = Limits(**{**vars(LIMITS), "least_bytes_per_second": 1000})
    fetched = fetch(asset(slow, down), folder, limits=fast)
    assert fetched.source == slow.via.name
    assert [request.path for request in server.requests] == ["/slow", "/down", "/slow"]


@pytest.mark.fault("download")
def test_no_source_names_what_was_tried_and_where_to_put_the_file(
    server: Server, folder: Path
) -> None:
    with socket.socket() as free:  # a port that nobody listens on
        free.bind(("127.0.0.1", 0))
        refused = source(Http(url=f"http://127.0.0.1:{free.getsockname()[1]}/a"))
    unknown = source(Http(url="http://no-such-host.invalid/a"))
    gone = server.source("/gone", FAULTS.sequence(FAULTS.cut_after(1000), FAULTS.status(410)))
    with pytest.raises(UserError) as caught:
        fetch(asset(refused, unknown, gone), folder, limits=LIMITS)
    text = str(caught.value)
    for tried, reason in [(refused, "refused"), (unknown, ""), (gone, "HTTP 410")]:
        assert any(tried.via.name in line and reason in line for line in text.splitlines())
    assert str(folder) in text and "data.bin" in text and HASH in text
    assert [path.stat().st_size for path in folder.glob("*.part")] == [1000]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_a_file_placed_by_hand_needs_no_network(folder: Path) -> None:
    folder.mkdir()
    (folder / "other.bin").write_bytes(CONTENT)
    first = source(Http(url="http://no-such-host.invalid/a"))
    second = source(Npm(package="things", version="1.0.0"), file_name="other.bin")
    fetched = fetch(asset(first, second), folder, limits=LIMITS)
    assert (fetched.path, fetched.source) == (folder / "other.bin", BY_HAND)
    assert [path.name for path in folder.iterdir()] == ["other.bin"]


@pytest.mark.fault("download")
def test_a_damaged_file_placed_by_hand_is_named_and_left_alone(
    server: Server, folder: Path
) -> None:
    folder.mkdir()
    (folder / "data.bin").write_bytes(b"\xee" * NUM_BYTES)
    with pytest.raises(UserError, match="the one that lies there is damaged"):
        fetch(asset(server.source("/a", FAULTS.status(404))), folder, limits=LIMITS)
    assert (folder / "data.bin").exists()
    fetched = fetch(asset(server.source("/a", FAULTS.whole())), folder, limits=LIMITS)
    assert fetched.path.read_bytes() == CONTENT


@pytest.mark.fault("download")
def test_a_wrong_md5_is_noticed(server: Server, folder: Path) -> None:
    good = server.source("/a", FAULTS.whole())
    wrong = source(good.via, md5="0" * 32)
    with pytest.raises(UserError, match="expected hash"):
        fetch(asset(wrong), folder, limits=LIMITS)
    right = source(good.via, md5=hashlib.md5(CONTENT).hexdigest())
    assert fetch(asset(right), folder, limits=LIMITS).path.exists()


@pytest.mark.fault("disk")
def test_an_unwritable_folder_is_said_before_any_request(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write to"):
        fetch(asset(server.source("/a", FAULTS.whole())), tmp_path / "file" / "sub", limits=LIMITS)
    assert server.requests == []


@pytest.mark.fault("disk")
def test_a_full_disk_is_said_before_any_request(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=NUM_BYTES + 499)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    good = server.source("/a", FAULTS.whole())
    with pytest.raises(
        UserError, match=rf"needs {NUM_BYTES + 500} bytes .* only {NUM_BYTES + 499}"
    ):
        fetch(Asset(name="things", sources=(good,), decoded_bytes=500), folder, limits=LIMITS)
    assert server.requests == []


@pytest.mark.fault("download")
def test_only_one_downloads_at_a_time(server: Server, folder: Path) -> None:
    def slowly(handler: Handler) -> None:
        time.sleep(0.1)
        FAULTS.whole()(handler)

    things = asset(server.source("/a", slowly))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(things, folder, limits=LIMITS)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1
    assert len(server.requests) == 1


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put an `npm` of our own, with the given Python body, on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    return lambda body: write_program(folder, "npm", body)


NPM = source(Npm(package="things", version="1.2.3"), file_name="things-1.2.3.tgz")


def test_npm_packs_the_exact_version(npm: Callable[[str], None], folder: Path) -> None:
    npm(
        "assert sys.argv[1:3] == ['pack', 'things@1.2.3'], sys.argv\n"
        "open('things-1.2.3.tgz', 'wb').write(bytes(range(256)) * 400)"
    )
    fetched = fetch(asset(NPM), folder, limits=LIMITS)
    assert fetched.path == folder / "things-1.2.3.tgz"
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.source == "npm package things@1.2.3"
    assert json.loads((folder / "things-1.2.3.tgz.source.json").read_text())["sha256"] == HASH
    assert not list(folder.glob(".package-*"))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("sys.exit('npm warn old\\nnpm error code E404')", "code 1 (npm error code E404)"),
        ("import time; time.sleep(5)", "took longer than 0.3 s"),
        ("pass", "0 archives"),
        ("open('a.tgz', 'w').write('other')", "does not have the expected hash"),
        (None, "npm is not installed"),
    ],
)
@pytest.mark.fault("download")
def test_a_failing_npm_is_one_line(
    npm: Callable[[str], None], folder: Path, body: str | None, reason: str
) -> None:
    if body is not None:
        npm(body)
    impatient = Limits(**{**vars(LIMITS), "package_seconds": 0.3})
    with pytest.raises(UserError) as caught:
        fetch(asset(NPM), folder, limits=impatient)
    (line,) = (line for line in str(caught.value).splitlines() if "npm package" in line)
    assert reason in line
    assert not list(folder.glob(".package-*"))


DEB = source(Deb(package="things", version="1.2-3"), file_name="things_1.2-3_all.deb")


def test_apt_downloads_the_exact_version(
    npm: Callable[[str], None], folder: Path, tmp_path: Path
) -> None:
    body = (
        "assert sys.argv[1:] == ['download', '-qq', 'things=1.2-3'], sys.argv\n"
        "open('things_1.2-3_all.deb', 'wb').write(bytes(range(256)) * 400)"
    )
    write_program(tmp_path / "bin", "apt-get", body)
    fetched = fetch(asset(DEB), folder, limits=LIMITS)
    assert fetched.path.read_bytes() == CONTENT
    assert fetched.source == "Debian package things 1.2-3"


@pytest.mark.fault("download")
def test_a_failing_apt_is_one_line(
    npm: Callable[[str], None], folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="apt-get is not installed"):
        fetch(asset(DEB), folder, limits=LIMITS)
    body = "sys.exit('W: not a sandbox\\nE: Unable to locate package things')"
    write_program(tmp_path / "bin", "apt-get", body)
    for attempt in (
        lambda: fetch(asset(DEB), folder, limits=LIMITS),
        lambda: DEB.via.ask(NUM_BYTES, limits=LIMITS),
    ):
        with pytest.raises(
            (UserError, SourceFailed), match=r"\(E: Unable to locate package things"
        ):
            attempt()


def test_progress_is_a_few_lines_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = DownloadBar("file", done=0, total=1000)
    for _ in range(100):
        progress.advance(10)
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["25%", "50%", "75%", "100%"]


def test_progress_is_a_bar_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress = DownloadBar("file", done=500, total=1000)
    progress.advance(500)
    progress.close()
    assert "file:  50%" in capsys.readouterr().err
