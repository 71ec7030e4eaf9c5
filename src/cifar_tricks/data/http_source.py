"""Download over HTTP: resumed where possible, given up when the server stalls."""

import contextlib
import queue
import re
import threading
import time
from pathlib import Path

import requests
import urllib3

from cifar_tricks.data.transport import DownloadBar, Limits, SourceFailed, SourceSlow, say, size_of

CHUNK_BYTES = 1 << 18
# A connection that brought this much before it dropped has earned a fresh set of retries.
PROGRESS_BYTES = 1 << 20


class _Dropped(Exception):
    """The connection broke or the server was busy: worth another try."""


def download_http(url: str, part: Path, num_bytes: int, *, limits: Limits, label: str) -> None:
    """Complete the file `part` from a URL, resuming where it ends when the server can.

    Args:
        url: http or https; the environment's proxies are honoured.
        part: the unfinished file; kept when the source fails, so that a later call resumes it.
        num_bytes: the length of the whole file.
        limits: how patient to be.
        label: name of the file in the progress display.

    Raises:
        SourceFailed: with the reason in one line; SourceSlow if it was too slow.
        OSError: `part` cannot be written.
    """
    failures, began, first = 0, time.monotonic(), size_of(part)
    while True:
        before = size_of(part)
        try:
            return _download_once(url, part, num_bytes, limits, label)
        except _Dropped as dropped:
            failures += 1
            if size_of(part) - before >= PROGRESS_BYTES:
                failures, elapsed = 1, time.monotonic() - began
                # Of all connections: each may be too short to be found slow by itself.
                if elapsed >= limits.stall_seconds:
                    _check_rate((size_of(part) - first) / elapsed, limits)
            if failures > limits.retries:
                raise SourceFailed(str(dropped)) from dropped
            say(f"{label}: {dropped}; trying again")
            time.sleep(limits.backoff_seconds * 2 ** (failures - 1))


def ask_http(url: str, num_bytes: int, *, limits: Limits) -> None:
    """Ask a URL whether it has a file of this length, and leave it there.

    Args:
        url: http or https; the environment's proxies are honoured.
        num_bytes: the length of the whole file.
        limits: how patient to be.

    Raises:
        SourceFailed: with the reason in one line.
    """
    try:
        with _answer(url, 0, limits) as response:
            _accept(response, 0, num_bytes)
    except _Dropped as dropped:
        raise SourceFailed(str(dropped)) from dropped


def _download_once(url: str, part: Path, num_bytes: int, limits: Limits, label: str) -> None:
    offset = size_of(part)
    if offset == num_bytes:
        return
    if offset > num_bytes:
        offset = 0
    response = _answer(url, offset, limits)
    with contextlib.ExitStack() as stack:
        stack.callback(response.close)
        start = _accept(response, offset, num_bytes)
        if start is None:  # the server cannot continue where the part ends
            response = _answer(url, 0, limits)
            stack.callback(response.close)
            start = _accept(response, 0, num_bytes)
        if start is None:
            raise SourceFailed(f"HTTP {response.status_code} to a plain request")
        _copy(response, part, start, num_bytes, limits, label)


def _answer(url: str, offset: int, limits: Limits) -> requests.Response:
    """Send the request and wait for its headers, however long name servers would like to take."""
    # Compressed transfer would make Content-Length and offsets those of other bytes.
    headers = {"Accept-Encoding": "identity", "User-Agent": "cifar-tricks"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    answers: queue.Queue[requests.Response | Exception] = queue.Queue()

    def ask() -> None:
        try:
            timeout = (limits.connect_seconds, limits.stall_seconds)
            answers.put(requests.get(url, headers=headers, stream=True, timeout=timeout))
        except Exception as error:  # handed over to the thread that waits
            answers.put(error)

    # The timeouts of requests hold per address and leave out the name lookup; only a
    # deadline from outside bounds the whole.
    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=limits.answer_seconds)
    except queue.Empty:
        raise SourceFailed(f"no answer within {limits.answer_seconds:g} s") from None
    if isinstance(answer, requests.Response):
        return answer
    raise _translated(answer) from answer


def _translated(error: Exception) -> Exception:
    """Say in one line what a failed request means, and whether it is worth a retry."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return SourceFailed("connecting timed out")
    if isinstance(error, requests.exceptions.ReadTimeout):
        return SourceFailed("connected, but no answer")
    if isinstance(error, requests.exceptions.ProxyError):
        return SourceFailed("the proxy refused or cannot be reached")
    if isinstance(error, requests.exceptions.SSLError):
        return SourceFailed("its TLS certificate was not accepted")
    if isinstance(error, requests.exceptions.ConnectionError):
        text = str(error)
        if "NameResolutionError" in text:
            return SourceFailed("its host name cannot be resolved")
        if "NewConnectionError" in text:
            return SourceFailed("connection refused or host unreachable")
        return _Dropped("connection dropped before the answer")
    reason = " ".join(str(error).split())[:160]
    return SourceFailed(f"request failed ({type(error).__name__}: {reason})")


def _accept(response: requests.Response, offset: int, num_bytes: int) -> int | None:
    """Return the offset at which the response's body starts, None to ask for the whole file."""
    status = response.status_code
    if status in (408, 429) or status >= 500:
        raise _Dropped(f"HTTP {status}")
    if status == 416 and offset:
        return None
    if status not in (200, 206):
        raise SourceFailed(f"HTTP {status}")
    start = 0
    if status == 206:
        found = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip()
        )
        whole = (str(offset), str(num_bytes - 1))
        if not found or found.groups()[:2] != whole or found[3] not in ("*", str(num_bytes)):
            return None
        start = offset
    if "html" in response.headers.get("Content-Type", "").lower():
        raise SourceFailed("it answered with a web page instead of the file")
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != num_bytes - start:
        raise SourceFailed(f"it offers {int(length)} bytes where {num_bytes - start} are expected")
    return start


def _copy(
    response: requests.Response,
    part: Path,
    start: int,
    num_bytes: int,
    limits: Limits,
    label: str,
) -> None:
    done, window_start, window_bytes = start, time.monotonic(), 0
    progress = DownloadBar(label, done=start, total=num_bytes)
    try:
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            while chunk := _read(response, limits):
                done += len(chunk)
                if done > num_bytes:
                    file.truncate(0)
                    raise SourceFailed(f"it sends more than the expected {num_bytes} bytes")
                file.write(chunk)
                progress.advance(len(chunk))
                window_bytes += len(chunk)
                elapsed = time.monotonic() - window_start
                if elapsed >= limits.stall_seconds and done < num_bytes:
                    _check_rate(window_bytes / elapsed, limits)
                    window_start, window_bytes = time.monotonic(), 0
    finally:
        progress.close()
    if done < num_bytes:
        raise _Dropped(f"connection closed after {done} of {num_bytes} bytes")


def _read(response: requests.Response, limits: Limits) -> bytes:
    """Return what has arrived (at most CHUNK_BYTES); empty at the end."""
    try:
        # read1 comes back with whatever one receive brought. iter_content would wait for a
        # full chunk, and a server that trickles could hold it for hours unnoticed.
        return bytes(response.raw.read1(CHUNK_BYTES, decode_content=False))
    except urllib3.exceptions.ReadTimeoutError as error:
        raise SourceFailed(f"stalled: no byte for {limits.stall_seconds:g} s") from error
    except (urllib3.exceptions.HTTPError, ConnectionError) as error:
        raise _Dropped("connection dropped") from error


def _check_rate(bytes_per_second: float, limits: Limits) -> None:
    if bytes_per_second < limits.least_bytes_per_second:
        raise SourceSlow(
            f"too slow: {bytes_per_second / 1e3:.0f} kB/s over {limits.stall_seconds:g} s"
        )
