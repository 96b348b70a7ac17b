"""The clean stop, with real processes and real signals. `test_exit_manager_…`: a fault that was measured there."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resilience.reports import PROJECT
from resilience.shutdown import ReleasedTwice, Shutdown, Stopping

_BEGIN = """
import ctypes, hashlib, logging, os, signal, sys, threading, time
import structlog
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
from resilience.shutdown import *
def say(*words): os.write(1, (" ".join(map(str, words)) + os.linesep).encode())  # servers say it side by side
def hang(*_): threading.Event().wait()
"""


class Command:
    """A command in a process of its own, from a few lines; `ready` waits until it says so."""

    def __init__(self, lines: str, *, stderr: int | None = subprocess.PIPE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN + textwrap.dedent(lines)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def ready(self) -> Command:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", self.process.communicate()
        return self

    def signal(self, number: int = signal.SIGTERM) -> Command:
        self.began = time.monotonic()
        self.process.send_signal(number)
        return self

    def end(self) -> tuple[int, list[str]]:
        """Exit code, and what it said after `ready`."""
        out, self.errors = self.process.communicate(timeout=20)
        self.seconds = time.monotonic() - getattr(self, "began", time.monotonic())
        return self.process.returncode, out.split()


@pytest.fixture
def command() -> Iterator[Callable[..., Command]]:
    made: list[Command] = []

    def make(lines: str, **options: Any) -> Command:
        made.append(Command(lines, **options))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_runs_all_steps_in_order_and_exits_0(command: Callable[..., Command], number: int) -> None:
    one = command("""
        with Shutdown() as shutdown:
            shutdown.notify(lambda: say("notified"))
            shutdown.server("a", lambda seconds: say("stopped"), deadline=5)
            shutdown.cleanup(lambda: say("first"))
            shutdown.cleanup(lambda: say("second"))
            with shutdown.hold("work"):
                say("ready")
                shutdown.stopping.wait()
                time.sleep(0.2)
                say("finished")
        say("left")
    """)

    code, said = one.ready().signal(number).end()

    assert (code, said) == (0, ["notified", "stopped", "finished", "second", "first", "left"])


def test_a_command_that_ends_by_itself_cleans_up_too(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            shutdown.cleanup(lambda: say("clean"))
            say("ready")
    """)

    assert one.ready().end() == (0, ["clean"])


def test_an_error_of_the_command_passes_after_the_clean_up(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            shutdown.cleanup(lambda: say("clean"))
            say("ready")
            sys.exit(2)
    """)

    assert one.ready().end() == (2, ["clean"])


@pytest.mark.parametrize(("words", "code"), [("", 1), ("0", 1), ("3", 3)])
def test_a_late_server_costs_the_0_also_of_a_command_that_exits_by_itself(words: str, code: int) -> None:
    shutdown = Shutdown(exit_now=lambda code: None)
    shutdown.server("late", lambda seconds: time.sleep(0.4), deadline=0.1)

    with pytest.raises(SystemExit) as ended, shutdown:
        sys.exit(*map(int, words.split()))

    assert ended.value.code == code


def test_it_works_while_the_main_thread_is_in_c(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            shutdown.cleanup(lambda: say("clean"))
            say("ready")
            hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)  # half a minute without a look at signals
    """)

    code, said = one.ready().signal().end()

    assert (code, said) == (0, ["clean"])
    assert one.seconds < 15


def test_a_stop_may_begin_without_a_signal(command: Callable[..., Command]) -> None:
    one = command("""
        shutdown = Shutdown()
        shutdown.install()
        shutdown.cleanup(lambda: say("clean"))
        say("ready")
        threading.Timer(0.1, shutdown.begin, ["configuration changed"]).start()
        time.sleep(60)
    """)

    assert one.ready().end() == (0, ["clean"])


# Forced ends

HANGS = {
    "hold": "shutdown.hold('stuck')",
    "notify": "shutdown.notify(hang)",
    "clean-up": "shutdown.cleanup(hang)",
    "server": "shutdown.server('stuck', hang, deadline=60)",
    "thread that is no daemon": "threading.Thread(target=hang).start()",
    "lock of the log": "lock = logging.Handler(); lock.acquire(); shutdown.notify(lambda: lock.acquire())",
    "main thread": "shutdown.hold('main'); finish = hang",
}


@pytest.mark.parametrize("what", HANGS)
def test_exit_manager_a_second_signal_breaks_whatever_hangs(command: Callable[..., Command], what: str) -> None:
    one = command(f"""
        shutdown = Shutdown(deadline=60)
        shutdown.install()
        finish = shutdown.finish
        shutdown.notify(lambda: say("stopping"))
        {HANGS[what]}
        say("ready")
        shutdown.stopping.wait()
        sys.exit(finish())
    """)
    one.ready().signal()
    assert one.process.stdout is not None
    assert one.process.stdout.readline() == "stopping\n"
    time.sleep(0.1)
    assert one.process.poll() is None

    code, _ = one.signal().end()

    assert code == 1
    assert one.seconds < 15
    assert "forced to exit: SIGTERM" in one.errors


@pytest.mark.parametrize("what", HANGS)
def test_the_deadline_breaks_whatever_hangs(command: Callable[..., Command], what: str) -> None:
    one = command(f"""
        shutdown = Shutdown(deadline=0.5)
        shutdown.install()
        finish = shutdown.finish
        {HANGS[what]}
        say("ready")
        shutdown.stopping.wait()
        sys.exit(finish())
    """)

    code, _ = one.ready().signal().end()

    assert code == 1
    assert 0.4 < one.seconds < 15
    assert "forced to exit: the deadline of 0.5 s passed" in one.errors


def test_nobody_who_reads_standard_error_does_not_keep_it_alive(command: Callable[..., Command]) -> None:
    one = command(
        """
        with Shutdown(deadline=60) as shutdown:
            threading.Thread(target=lambda: os.write(2, b"x" * 1_000_000), daemon=True).start()  # blocks for good
            time.sleep(0.2)
            say("ready")
            shutdown.stopping.wait()
        """
    )
    one.ready().signal()
    time.sleep(0.3)
    one.signal()

    code = one.process.wait(5)  # without reading

    assert code == 1


_NO_THREADS = """
def no_thread(self): raise RuntimeError("can't start new thread")
threading.Thread.start = no_thread
"""


def test_a_stop_needs_no_new_thread(command: Callable[..., Command]) -> None:
    one = command(f"""
        shutdown = Shutdown(deadline=60)
        shutdown.install()
        shutdown.server("a", lambda seconds: say("stopped"), deadline=5)
        shutdown.cleanup(lambda: say("clean"))
        {_NO_THREADS.replace(chr(10), chr(10) + " " * 8)}
        say("ready")
        time.sleep(60)
    """)

    assert one.ready().signal().end() == (0, ["stopped", "clean"])


def test_a_forced_end_needs_no_new_thread(command: Callable[..., Command]) -> None:
    one = command(f"""
        shutdown = Shutdown(deadline=0.5)
        shutdown.install()
        shutdown.hold("stuck")
        {_NO_THREADS.replace(chr(10), chr(10) + " " * 8)}
        say("ready")
        time.sleep(60)
    """)

    code, _ = one.ready().signal().end()

    assert code == 1
    assert "the deadline of 0.5 s passed; still held by: stuck" in one.errors


def test_a_forced_end_does_not_depend_on_its_text() -> None:
    codes: list[int] = []
    shutdown = Shutdown(deadline=0.2, exit_now=codes.append)
    hold = shutdown.hold("\udcff")  # cannot be encoded
    raised: list[object] = []
    threading.excepthook, before = raised.append, threading.excepthook

    shutdown.begin("test")
    time.sleep(0.5)
    threading.excepthook = before
    shutdown.uninstall()
    hold.release()

    assert (codes, len(raised)) == ([1], 1)


# Holds


def test_a_hold_is_refused_once_stopping_began_and_over_release_is_an_error() -> None:
    shutdown = Shutdown(exit_now=lambda code: None)
    hold = shutdown.hold("work")
    shutdown.begin("test")

    with pytest.raises(Stopping, match="'more' was not begun"):
        shutdown.hold("more")
    with pytest.raises(Stopping, match="'late' must not start"):
        shutdown.server("late", lambda seconds: None, deadline=1)
    hold.release()
    with pytest.raises(ReleasedTwice, match="'work'"):
        hold.release()

    assert shutdown.finish() == 0
    shutdown.uninstall()


def test_holds_of_many_threads_are_all_waited_for() -> None:
    shutdown = Shutdown(exit_now=lambda code: None)
    holds = [shutdown.hold(f"work {number}") for number in range(5)]
    cleaned: list[int] = []
    shutdown.cleanup(lambda: cleaned.append(1))
    shutdown.begin("test")

    for hold in holds[:4]:
        hold.release()
    time.sleep(0.1)
    early = list(cleaned)
    holds[4].release()

    assert shutdown.finish() == 0
    assert (early, cleaned) == ([], [1])
    shutdown.uninstall()


# Servers and clean-ups


def test_servers_stop_at_once_and_one_that_is_late_costs_the_0(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            for name in ("a", "b", "c"):
                shutdown.server(name, lambda seconds: (time.sleep(2), say("stopped")), deadline=5)
            shutdown.server("late", hang, deadline=0.2)
            shutdown.cleanup(lambda: say("clean"))
            say("ready")
            shutdown.stopping.wait()
    """)

    code, said = one.ready().signal().end()

    assert (code, said) == (1, ["stopped"] * 3 + ["clean"])
    assert one.seconds < 5.5  # one after the other: 6.2 s
    assert "server_stops_late" in one.errors


def test_a_server_has_its_own_time_and_not_that_of_one_registered_before_it() -> None:
    shutdown = Shutdown(exit_now=lambda code: None)
    shutdown.server("slow", lambda seconds: time.sleep(1), deadline=5)
    shutdown.server("late", lambda seconds: time.sleep(0.6), deadline=0.2)

    code = shutdown.finish()

    assert code == 1
    shutdown.uninstall()


def test_a_server_is_told_how_long_it_has() -> None:
    shutdown, told = Shutdown(exit_now=lambda code: None), []
    shutdown.server("a", told.append, deadline=3)

    shutdown.finish()

    assert told == [3]
    shutdown.uninstall()


def test_steps_that_raise_are_told_and_keep_no_other_from_its_turn(command: Callable[..., Command]) -> None:
    one = command("""
        def fail(*_): raise RuntimeError("no")
        with Shutdown() as shutdown:
            shutdown.notify(fail); shutdown.notify(lambda: say("notified"))
            shutdown.server("a", fail, deadline=1); shutdown.server("b", lambda _: say("stopped"), deadline=1)
            shutdown.cleanup(lambda: say("clean")); shutdown.cleanup(fail); shutdown.cleanup(lambda: sys.exit(3))
            say("ready")
            shutdown.stopping.wait()
    """)

    code, said = one.ready().signal().end()

    assert (code, said) == (0, ["notified", "stopped", "clean"])
    assert one.errors.count("[error") == 4


def test_exit_manager_clean_ups_registered_late_run() -> None:
    shutdown, ran = Shutdown(exit_now=lambda code: None), []
    shutdown.cleanup(lambda: shutdown.cleanup(lambda: ran.append("by a clean-up")))
    shutdown.notify(lambda: shutdown.cleanup(lambda: ran.append("after the begin")))
    shutdown.finish()

    shutdown.cleanup(lambda: ran.append("after the end"))
    shutdown.notify(lambda: ran.append("notified late"))

    assert ran == ["after the begin", "by a clean-up", "after the end", "notified late"]
    shutdown.uninstall()


# Where it lives


def test_it_is_taken_off_again() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with Shutdown(deadline=0.2):
        assert signal.getsignal(signal.SIGTERM) is not before
    time.sleep(0.3)  # past the deadline: nobody is forced

    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_none_of_its_threads_outlives_it_also_where_a_fork_holds_its_socket(command: Callable[..., Command]) -> None:
    one = command("""
        shutdown = Shutdown()
        shutdown.install()
        child = os.fork()
        if child == 0:
            time.sleep(60)
        say("ready")
        shutdown.uninstall()
        time.sleep(0.5)
        say(threading.active_count())
        os.kill(child, signal.SIGKILL)
    """)

    assert one.ready().end() == (0, ["1"])


def test_a_fork_may_end_its_copy_by_itself(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            say("ready")
            if os.fork():
                os.wait()
            else:
                shutdown.cleanup(lambda: say("child"))
    """)

    assert one.ready().end() == (0, ["child"])


def test_there_is_one_for_a_process() -> None:
    with Shutdown(), pytest.raises(RuntimeError, match="already"):
        Shutdown().install()


def test_it_is_refused_in_a_worker(command: Callable[..., Command]) -> None:
    one = command("""
        import multiprocessing
        def work():
            try: Shutdown().install()
            except RuntimeError as error: say(str(error).rpartition(" ")[2])
        child = multiprocessing.get_context("fork").Process(target=work)
        say("ready")
        child.start(); child.join()
    """)

    assert one.ready().end() == (0, ["worker"])


def test_a_signal_to_a_fork_is_not_ours(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            child = os.fork()
            if child == 0:
                time.sleep(60)
            time.sleep(0.1)
            os.kill(child, signal.SIGTERM)
            _, status = os.waitpid(child, 0)
            say("ready")
            time.sleep(0.2)
            say(os.WTERMSIG(status), shutdown.stopping.is_set())
    """)

    assert one.ready().end() == (0, ["15", "False"])


def test_a_command_that_is_stopped_before_it_begins_ends_with_0(command: Callable[..., Command]) -> None:
    one = command("""
        with Shutdown() as shutdown:
            say("ready")
            shutdown.stopping.wait()
            with shutdown.hold("work"):
                say("worked")
    """)

    assert one.ready().signal().end() == (0, [])
