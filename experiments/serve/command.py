"""``gatescope serve``: the app on a model or a run."""

import webbrowser
from typing import Annotated

import typer

from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE, say


def serve(
    subject: Annotated[
        str, typer.Argument(help="A run of analyze, a shipped organism, an adapter or a model.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.")] = 8050,
    arms: Annotated[
        str | None, typer.Option(help="Adapters to compare, or base; the run's own by default.")
    ] = None,
    trigger: Annotated[str, typer.Option(help="Of a model that no run or manifest tells of.")] = "",
    behaviour: Annotated[str, typer.Option(help="What a triggered answer begins with.")] = "",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen beyond loopback; needs --token.")
    ] = False,
    token: Annotated[
        str, typer.Option(help="Required of every browser.", envvar="GATESCOPE_TOKEN")
    ] = "",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
) -> None:
    """Play with a model: watch its gate token by token, shut it, open it, compare arms."""
    from experiments.serve.security import checked_access
    from experiments.serve.server import serving
    from experiments.serve.subject import open_subject

    access = checked_access(host, port, allow_remote, token)
    with StageProgress(CONSOLE) as progress:
        served = open_subject(subject, arms, trigger, behaviour, progress.step)
    with serving(served, access) as (server, bound):
        say(f"gatescope: {bound.url} (end with Ctrl-C)")
        if open_browser:
            webbrowser.open(bound.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("gatescope: ended")
