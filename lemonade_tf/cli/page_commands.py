"""The commands `watch` and `demo`, the page of a run in a browser: options, and what they do."""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lemonade_tf.cli.choosing_commands import print_chosen
from lemonade_tf.cli.failure import fail
from lemonade_tf.terminal import make_console, print_line


def add_page_commands(commands: Any, add_command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the parsers of the commands; that of a command on a run is `add_command(name, help)`."""
    watch = add_command(
        "watch",
        "show the report of a run in a browser while its search runs",
        description="Serve the report of a run on 127.0.0.1; the page updates itself.",
    )
    watch.add_argument(
        "--port", type=int, default=0, metavar="N", help="port of the page (default: any free one)"
    )
    demo = commands.add_parser(
        "demo",
        help="show a finished example without training",
        description="Write a finished search into a folder, print its front and open its report.",
        allow_abbrev=False,
    )
    demo.add_argument(
        "--workdir",
        default="runs/demo",
        metavar="DIR",
        help="new folder for the example (default: runs/demo)",
    )
    demo.set_defaults(command="demo")


def run_watch(options: argparse.Namespace) -> int:
    """Serve the page of a run until Ctrl-C."""
    from lemonade_tf.report.page_server import ADDRESS, ReportServer

    try:
        server = ReportServer(options.workdir, options.port)
    except OSError as error:
        return fail(
            f"port {options.port} of {ADDRESS}: {error.strerror or error}; choose another --port,"
            " or omit it."
        )
    console = make_console()
    with server:
        print_line(console, f"{server.url} shows {options.workdir}, also while its search runs.")
        print_line(console, "Stop with Ctrl-C.")
        _open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print_line(console, "Stopped.")
    return 0


def run_demo(options: argparse.Namespace) -> int:
    """Write the finished example, print its front, and open its page."""
    from lemonade_tf.report.demo import unpack_demo
    from lemonade_tf.report.front_table import print_table
    from lemonade_tf.report.page import write_page
    from lemonade_tf.runs import read_run

    console = make_console()
    run = read_run(unpack_demo(Path(options.workdir)))
    page = write_page(run).absolute()
    print_line(console, "A finished search on scikit-learn's digits, as from lemonade-tf search:")
    print_table(run, console)
    print_line(console, f"Run folder  {run.store.path}")
    print_line(console, f"Report      {page}")
    print_chosen(run, console)
    if not _open(page.as_uri()):
        print_line(console, "Open the report in a browser.")
    return 0


def _open(url: str) -> bool:
    """Open a page in a browser, if there is a terminal with a display; return whether it did."""
    has_display = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not has_display or sys.stdout is None or not sys.stdout.isatty():
        return False
    return webbrowser.open(url)
