"""Judging a whole recording against a catalogue, as every upload is: as it is, and then at other speeds and pitches.

What belongs here: which searches are made, and which verdict counts. What does not: how to search (`search`), what a
match means (`verdict`), and where the catalogue is kept.
"""

from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.postings import SearchableCatalogue
from musicfp.fingerprint.search import search, search_changed
from musicfp.fingerprint.verdict import DEFAULT_POLICY, DedupeVerdict, MatchRelation, VerdictPolicy, judge

# A copy at another speed or pitch cannot be more than these.
_NAMES_A_WHOLE_TRACK = {MatchRelation.SAME_RECORDING, MatchRelation.EXCERPT, MatchRelation.CONTAINS}


def judge_recording(
    query: Query, catalogue: SearchableCatalogue, *, policy: VerdictPolicy = DEFAULT_POLICY
) -> DedupeVerdict:
    """Decide whether a recording is new to a catalogue.

    Parameters
    ----------
    query
        The whole recording. Without samples it is compared as it is only.
    catalogue
        All tracks accepted so far.
    policy
        Thresholds.

    Returns
    -------
    DedupeVerdict
        Of the recording at another speed or pitch if that makes it a copy and it is none as it is.

    """
    n_items = query.fingerprint.n_items
    report = search(query.fingerprint, catalogue, by_pair=True)
    verdict = judge(report, query_items=n_items, policy=policy)
    if query.samples is None or not report.information_ok or verdict.relation in _NAMES_A_WHOLE_TRACK:
        return verdict
    changed = judge(search_changed(query.samples, catalogue), query_items=n_items, policy=policy)
    return changed if changed.relation in _NAMES_A_WHOLE_TRACK else verdict
