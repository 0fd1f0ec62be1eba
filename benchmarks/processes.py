"""Processes that measure on request, for benchmarks whose measurements may hang or die."""

import multiprocessing


class NotMeasured(Exception):
    """A measurement failed; the message is the reason."""


class Process:
    """A process that runs measurements on request; restarted when it hangs or dies.

    Args:
        set_up: Called first, as set_up(*args); a module-level function.
        *args: Passed to `set_up`.

    Attributes:
        found: The result of `set_up`; None before `wait` or `ask`.
    """

    def __init__(self, set_up, *args):
        self._set_up, self._process, self.found = (set_up, args), None, None

    def start(self):
        """Start the process if it is not running, without waiting for it."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            given = (theirs, *self._set_up)
            self._process = context.Process(target=_serve, args=given, daemon=True)
            self._process.start()
            theirs.close()
            self._is_ready = False

    def wait(self, seconds):
        """Wait until the process is set up."""
        self.start()
        if not self._is_ready:
            self.found = self._answer(seconds)
            self._is_ready = True

    def ask(self, seconds, function, *args):
        """Return function(*args), computed in the process.

        Raises:
            NotMeasured: If it raises, dies, or takes longer than `seconds`.
        """
        self.wait(seconds)
        self._pipe.send((function, args))
        return self._answer(seconds)

    def _answer(self, seconds):
        try:
            if not self._pipe.poll(seconds):
                raise NotMeasured(f"stopped after {seconds:.0f} seconds")
            done, answer = self._pipe.recv()
        except NotMeasured:
            self.end()
            raise
        except (EOFError, OSError):
            self._process.join(5)
            code = self._process.exitcode
            self.end()
            raise NotMeasured(f"its process ended with exit status {code}") from None
        if not done:
            raise NotMeasured(answer)
        return answer

    def end(self):
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._pipe.close()
            self._process = None


def _serve(pipe, set_up, args):
    _answer_with(pipe, set_up, args)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:
            return
        _answer_with(pipe, function, args)


def _answer_with(pipe, function, args):
    try:
        pipe.send((True, function(*args)))
    except Exception as error:
        text = " ".join(str(error).split())
        pipe.send((False, f"{type(error).__name__}: {text[:200]}"))
