"""`musicfp verdicts`: what deduplication decided, and what another policy would have decided."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from musicfp.catalog import verdicts as kept_verdicts
from musicfp.catalog.verdicts import OUTCOMES, KeptVerdict
from musicfp.cli.common import json_option, print_json, print_table, visible
from musicfp.cli.database import catalogue_database
from musicfp.fingerprint.verdict import VerdictPolicy
from musicfp.pipeline.recheck import Rechecked, Ruling, recheck, varied_policy
from musicfp.settings import Settings

_DEFAULT_LIMIT = 20


@click.command()
@click.option("--outcome", type=click.Choice(OUTCOMES, case_sensitive=False), help="Only verdicts with this outcome.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), help=f"How many to list, the newest first; {_DEFAULT_LIMIT} by default."
)
@click.option("--recheck", "is_recheck", is_flag=True, help="List what the policy would decide otherwise now.")
@click.option(
    "--set",
    "settings_of_policy",
    metavar="NAME=VALUE",
    multiple=True,
    help="With --recheck: try another threshold, like min_duplicate_correlation=0.75. May be repeated.",
)
@json_option
def verdicts(
    *, outcome: str | None, limit: int | None, is_recheck: bool, settings_of_policy: Sequence[str], as_json: bool
) -> None:
    """List verdicts, or with --recheck those that a changed policy would flip. Changes nothing.

    Reads the database of MUSICFP_DATABASE_URL. A recheck replays the policy of this version and of the settings over
    the evidence that is stored with each verdict.
    """
    if not is_recheck:
        if settings_of_policy:
            raise click.UsageError("--set goes with --recheck.")
        _list(outcome=outcome, limit=limit or _DEFAULT_LIMIT, as_json=as_json)
        return
    if limit is not None:
        raise click.UsageError("--limit does not go with --recheck, which looks at all verdicts.")
    policy = _policy(settings_of_policy)
    with catalogue_database() as database:
        rechecked = recheck(database, policy, outcome=outcome)
        (_print_recheck_as_json if as_json else _print_recheck)(rechecked)


def _list(*, outcome: str | None, limit: int, as_json: bool) -> None:
    with catalogue_database() as database, database.read() as session:
        newest = kept_verdicts.newest(session, limit=limit, outcome=outcome)
    if as_json:
        print_json([_verdict_as_json(each) for each in newest])
        return
    print_table(
        ("submission", "decided", "outcome", "relation", "track", "score", "file"),
        [_row(each) for each in newest],
    )


def _row(kept: KeptVerdict) -> tuple[str, ...]:
    verdict = kept.verdict
    return (
        verdict.submission_id,
        f"{verdict.decided_at:%Y-%m-%d %H:%M:%S}",
        verdict.outcome,
        verdict.relation or "",
        f"{verdict.deleted_track_id} (deleted)" if verdict.deleted_track_id else verdict.matched_track_id or "",
        "" if verdict.score is None else f"{verdict.score:.3f}",
        kept.filename,
    )


def _verdict_as_json(kept: KeptVerdict) -> dict[str, object]:
    verdict = kept.verdict
    return {
        "submissionId": verdict.submission_id,
        "filename": kept.filename,
        "decidedAt": verdict.decided_at.isoformat(),
        "outcome": verdict.outcome,
        "relation": verdict.relation,
        "trackId": verdict.matched_track_id,
        "deletedTrackId": verdict.deleted_track_id,
        "score": verdict.score,
        "policyVersion": verdict.policy_version,
        "reason": verdict.reason,
    }


def _policy(settings_of_policy: Sequence[str]) -> VerdictPolicy:
    values = {}
    for setting in settings_of_policy:
        name, separator, value = setting.partition("=")
        if not separator:
            raise click.BadParameter(f"{setting!r} is not NAME=VALUE.", param_hint="--set")
        values[name.strip()] = value.strip()
    try:
        return varied_policy(VerdictPolicy(review_related=Settings.from_env().review_related), values)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--set") from error


def _print_recheck(rechecked: Iterator[Rechecked]) -> None:
    counts: Counter[str] = Counter()
    for each in rechecked:
        counts[_kind(each)] += 1
        if each.would_change and each.after is not None:
            click.echo(
                visible(
                    f"{each.submission_id} {each.filename}: {_in_words(each.before)} -> {_in_words(each.after)}; "
                    + ", ".join(each.why)
                )
            )
    click.echo(
        f"Rechecked {counts['changed'] + counts['unchanged']} verdicts: "
        f"{counts['changed']} would change, {counts['unchanged']} would not."
    )
    if counts["notRecheckable"]:
        click.echo(
            f"{counts['notRecheckable']} cannot be rechecked: "
            "their evidence was stored by an older version or is missing."
        )


def _print_recheck_as_json(rechecked: Iterator[Rechecked]) -> None:
    """Print one document piece by piece: there may be as many changes as verdicts."""
    counts: Counter[str] = Counter()
    click.echo('{"changes": [', nl=False)
    for each in rechecked:
        if each.would_change:
            separator = ",\n" if counts["changed"] else "\n"
            click.echo(separator + json.dumps(_change_as_json(each), ensure_ascii=False), nl=False)
        counts[_kind(each)] += 1
    numbers = {
        "nRechecked": counts["changed"] + counts["unchanged"],
        "nChanged": counts["changed"],
        "nUnchanged": counts["unchanged"],
        "nNotRecheckable": counts["notRecheckable"],
    }
    click.echo("],\n" + json.dumps(numbers)[1:])


def _kind(rechecked: Rechecked) -> str:
    if rechecked.after is None:
        return "notRecheckable"
    return "changed" if rechecked.would_change else "unchanged"


def _in_words(ruling: Ruling) -> str:
    if ruling.relation is None:
        return ruling.outcome
    return f"{ruling.outcome} ({ruling.relation} of track {ruling.track_id or 'deleted since'})"


def _change_as_json(rechecked: Rechecked) -> dict[str, object]:
    return {
        "submissionId": rechecked.submission_id,
        "filename": rechecked.filename,
        "before": _ruling_as_json(rechecked.before),
        "after": None if rechecked.after is None else _ruling_as_json(rechecked.after),
        "why": list(rechecked.why),
    }


def _ruling_as_json(ruling: Ruling) -> dict[str, object]:
    return {"outcome": ruling.outcome, "relation": ruling.relation, "trackId": ruling.track_id}
