"""Child processes: they do not outlive the one that started them, and what they printed last tells why they died."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


class Child:
    """A process in a session and process group of its own. What it prints goes to ``log``, or to a file without a name.

    Ctrl-C is not for it; whoever started it must :meth:`end` it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        log: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._log: IO[bytes] = open(log, "a+b", 0) if log else tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=self._log,
                stderr=self._log,
                pass_fds=pass_fds,
                start_new_session=True,
                env=env,
            )
        except BaseException:
            self._log.close()
            raise

    @property
    def pid(self) -> int:
        """The process id, which is its process group's id too."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """Its standard input, if that is a pipe."""
        assert self._process.stdin is not None
        return self._process.stdin

    def wait(self, seconds: float) -> int:
        """Its exit status, negative for a signal. Raises :class:`subprocess.TimeoutExpired`."""
        return self._process.wait(seconds)

    def last_words(self, most_bytes: int) -> str:
        """The end of what it printed."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), most_bytes, max(0, size - most_bytes)).decode(errors="replace").strip()

    def forget_words(self) -> None:
        """Take what it printed so far away."""
        os.ftruncate(self._log.fileno(), 0)

    def stop(self) -> None:
        """Kill it and all that it started. For any thread."""
        # Until it is waited for it keeps its id, even dead: no other group can be hit.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def cause_of_death(self) -> str:
        """How it ended, in words; if it has not, it is stopped now."""
        self.stop()
        return describe_status(self._process.wait())

    def end(self) -> None:
        """Stop it, wait for it, and close the log. May be repeated."""
        self.stop()
        self._process.wait()
        self._log.close()


def describe_status(status: int) -> str:
    """An exit status in words; a negative one is a signal's."""
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"


def die_with_parent(parent: int | None = None) -> None:
    """Have Linux kill this process when the thread that started it ends; at once if that was not ``parent``.

    Raises
    ------
    OSError
        Linux refuses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if parent is not None and os.getppid() != parent:  # it ended before the call
        os.kill(os.getpid(), signal.SIGKILL)
