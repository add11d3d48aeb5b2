"""`musicfp backfill`: compute one extractor's features, or another asset, for all tracks anew, and watch it."""

import click

from musicfp.cli.common import Bar, json_option, print_json, say
from musicfp.client.dagster import BackfillState, follow_backfill, launch_backfill, open_dagster
from musicfp.features.registry import load_builtin
from musicfp.settings import Settings

_WHAT_TO_DO = (
    "What failed keeps its old values; the page in Dagster shows which tracks and why. "
    "If their run was killed, launch the backfill again."
)


@click.command()
@click.argument("feature")
@json_option
@click.pass_context
def backfill(context: click.Context, *, feature: str, as_json: bool) -> None:
    """Launch the Dagster backfill of one feature over all tracks, and follow it to its end.

    FEATURE is the name of a value, like rhythm.tempo, or of the extractor that gives it, like tempo; or another asset
    of the tracks, like fingerprint_300_3400 or transcode_opus_96. It is computed anew also where it is current; what
    is missing somewhere is computed without being asked for.
    Ctrl-C ends the following only: the backfill goes on in Dagster. Exit status 1 if a track failed.
    """
    name = _name_of(feature)
    with open_dagster(Settings.from_env()) as dagster, Bar(f"Computing {name}") as bar:
        backfill_id = launch_backfill(dagster, name)
        say(f"Backfill {backfill_id} is launched: {dagster.url}/runs/b/{backfill_id}")
        last = follow_backfill(dagster, backfill_id, on_state=lambda state: _show(bar, state))
    if as_json:
        print_json(
            {
                "backfillId": last.backfill_id,
                "status": last.status,
                "tracks": last.n_targeted,
                "computed": last.n_done,
                "failed": last.n_failed,
                "error": last.error,
            }
        )
    else:
        click.echo(f"{name}: {last.n_done} of {last.n_targeted} tracks computed, {last.n_failed} failed.")
    if not last.ok:
        say(f"The backfill ended as {last.status}. {last.error or _WHAT_TO_DO}")
        context.exit(1)


def _name_of(feature: str) -> str:
    """Return the extractor that gives a named value; another name is taken for that of an extractor or asset."""
    owners = {each.name: each.extractor for each in load_builtin().definitions()}
    return owners.get(feature, feature)


def _show(bar: Bar, state: BackfillState) -> None:
    amount = f"{state.n_done} of {state.n_targeted} tracks" if state.n_targeted else "waiting for the Dagster daemon"
    bar.show(done=state.n_done + state.n_failed, total=max(state.n_targeted, 1), amount=amount)
