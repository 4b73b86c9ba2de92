"""``gatescope serve``: the app on a model or a run."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from circuits.templates import OWN, Rendering
from experiments.options import BEHAVIOURS, Prefill, System, Template, TemplateOptions
from experiments.runs.progress import StageProgress
from experiments.runs.terminal import CONSOLE, say, tell


def serve(
    context: typer.Context,
    subject: Annotated[
        str, typer.Argument(help="A run of analyze, a shipped organism, an adapter or a model.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.")] = 8050,
    arms: Annotated[
        str | None, typer.Option(help="Adapters to compare, or base; the run's own by default.")
    ] = None,
    trigger: Annotated[str, typer.Option(help="Of a model that no run or manifest tells of.")] = "",
    behaviour: Annotated[str, typer.Option(help=BEHAVIOURS)] = "",
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen beyond loopback; needs a token.")
    ] = False,
    token: Annotated[
        str,
        typer.Option(
            help="Required of every browser; better in the environment, as ps shows options.",
            envvar="GATESCOPE_TOKEN",
        ),
    ] = "",
    token_file: Annotated[Path | None, typer.Option(help="File that holds the token.")] = None,
    template: Template = OWN,
    template_option: TemplateOptions = None,
    system: System = "",
    prefill: Prefill = "",
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser.")] = True,
) -> None:
    """Play with a model: watch its gate token by token, shut it, open it, compare arms."""
    from experiments.serve.security import checked_access, given_token
    from experiments.serve.server import listening, serving
    from experiments.serve.subject import open_subject

    access = checked_access(host, port, allow_remote, given_token(token, token_file))
    if getattr(context.get_parameter_source("token"), "name", "") == "COMMANDLINE":
        tell("--token: ps shows it to everyone here; use GATESCOPE_TOKEN or --token-file", "yellow")
    with listening(access) as listener:
        with StageProgress(CONSOLE) as progress:
            rendering = Rendering(template, tuple(template_option or ()), prefill, system)
        served = open_subject(subject, arms, trigger, behaviour, progress.step, rendering)
        with serving(served, access, listener) as (server, bound):
            say(f"gatescope: {bound.url} (end with Ctrl-C)")
            if open_browser:
                webbrowser.open(bound.url)
            server.serve_forever()  # until Ctrl-C
    say("gatescope: ended")
