"""``python -m app.embedded.stripe_sandbox``: starts the sandbox and prints where it is."""

import argparse
import asyncio
import sys
from pathlib import Path

from app.embedded.stripe_sandbox.server import serve


def main() -> None:
    """Reads the arguments and serves until told to stop."""
    parser = argparse.ArgumentParser(
        prog="python -m app.embedded.stripe_sandbox",
        description="A Stripe to practise on: listens on the loopback, prints its URL and serves until SIGTERM.",
    )
    parser.add_argument("--port", type=int, default=0, help="the port; 0 takes a free one (default)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port-file", type=Path, help="a file to write the port to, once it is listening")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long every API request takes (default: 0)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop also when standard input is closed")
    given = parser.parse_args()

    def listening(url: str) -> None:
        if given.port_file:
            waiting = given.port_file.with_name(given.port_file.name + ".new")
            waiting.write_text(url.rpartition(":")[2])
            waiting.replace(given.port_file)
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()

    try:
        asyncio.run(
            serve(
                port=given.port,
                host=given.host,
                latency=given.latency_ms / 1000,
                listening=listening,
                until_stdin_closes=given.until_stdin_closes,
            )
        )
    except OSError as failure:
        sys.exit(f"The Stripe sandbox cannot listen on port {given.port}: {failure.strerror}")


if __name__ == "__main__":
    main()
