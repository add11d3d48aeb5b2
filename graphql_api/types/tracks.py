"""Tracks: accepted recordings and everything that hangs on them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.errors import INVALID_ARGUMENT, TRACK_DELETED, client_error
from graphql_api.fields import resolved
from graphql_api.limits import MAX_SIMILAR_TRACKS, MAX_SIMILAR_TRACKS_OF_A_REQUEST
from graphql_api.loaders import SimilarAsked
from graphql_api.types.audio import AudioFile, Transcode
from graphql_api.types.enums import MatchRelation
from graphql_api.types.features import FeatureValue
from graphql_api.types.lineage import Materialization, load_lineage
from musicfp.catalog.relations import FingerprintFacts
from musicfp.catalog.tables import RelatedTrackRow, TrackRow, VerdictRow
from musicfp.fingerprint.verdict import RelatedMatch
from musicfp.similarity.embeddings import DEFAULT_EMBEDDING


@strawberry.type(description="One tag of a track. A name may occur several times.")
class Tag:
    """GraphQL view of a tag row."""

    name: str = strawberry.field(description="Name in lower case, such as `title` or `composer`.")
    value: str = strawberry.field(description="Text of the tag.")


@strawberry.type(description="The Chromaprint fingerprint of a whole track.")
class Fingerprint:
    """GraphQL view of a fingerprint row."""

    track_id: strawberry.Private[str]
    algorithm: int = strawberry.field(description="Number of the Chromaprint algorithm, as in the encoded form.")
    item_count: int = strawberry.field(description="Number of 32-bit items, about eight for each second.")
    duration_seconds: float = strawberry.field(description="Length of the fingerprinted audio in seconds.")

    @resolved("Chromaprint's compressed form in URL-safe base64, as `fpcalc` prints it.")
    async def encoded(self, info: Info) -> str:
        """Load the items only when they are asked for."""
        encoded = await info.context.loaders.encoded_fingerprint.load(self.track_id)
        if encoded is None:
            raise _deleted_meanwhile(self.track_id)
        return encoded

    @classmethod
    def of_facts(cls, facts: FingerprintFacts) -> "Fingerprint":
        """Build from what is known without the items."""
        return cls(
            track_id=facts.track_id,
            algorithm=facts.algorithm,
            item_count=facts.n_items,
            duration_seconds=facts.audio_duration_s,
        )


@strawberry.type(description="An accepted recording. Its id is that of the submission that brought it.")
class Track:
    """GraphQL view of a track row."""

    row: strawberry.Private[TrackRow]
    id: strawberry.ID = strawberry.field(description="Id of the track and of its submission.")
    title: str = strawberry.field(description="Title by its tags.")
    artist: str = strawberry.field(description="Artist by its tags.")
    album: str | None = strawberry.field(description="Album by its tags.")
    duration_seconds: float = strawberry.field(description="Length in seconds, counted on decoded samples.")
    accepted_at: datetime = strawberry.field(description="When it entered the catalogue.")

    @resolved("The file that was uploaded.")
    async def source(self) -> AudioFile:
        """Return the source, whose columns are the track's own."""
        return AudioFile.of_row(self.row)

    @resolved("All tags, in the order of the file.")
    async def tags(self, info: Info) -> list[Tag]:
        """Load the tags."""
        return [Tag(name=row.name, value=row.value) for row in await info.context.loaders.tags.load(self.row.id)]

    @resolved("Files made from the source, by profile. Empty until Dagster has made them.")
    async def transcodes(self, info: Info) -> list[Transcode]:
        """Load the transcodes."""
        return [Transcode.of_row(row) for row in await info.context.loaders.transcodes.load(self.row.id)]

    @resolved("The fingerprint by which it is recognised.")
    async def fingerprint(self, info: Info) -> Fingerprint:
        """Load the fingerprint, which every track has."""
        facts = await info.context.loaders.fingerprint.load(self.row.id)
        if facts is None:
            raise _deleted_meanwhile(self.row.id)
        return Fingerprint.of_facts(facts)

    @resolved("One feature, null if it has not been computed for this track.")
    async def feature(
        self, info: Info, name: Annotated[str, strawberry.argument(description="Dotted name of the feature.")]
    ) -> FeatureValue | None:
        """Pick one feature."""
        rows = await info.context.loaders.features.load(self.row.id)
        return next((FeatureValue.of_row(row) for row in rows if row.name == name), None)

    @resolved("Features by name; those not computed for this track are left out.")
    async def features(
        self,
        info: Info,
        names: Annotated[list[str] | None, strawberry.argument(description="Which; all if not given.")] = None,
    ) -> list[FeatureValue]:
        """Load the features."""
        rows = await info.context.loaders.features.load(self.row.id)
        return [FeatureValue.of_row(row) for row in rows if names is None or row.name in names]

    @resolved(
        "Tracks to which a relation was found when this one was accepted, the surest first. "
        "Offsets say where this track starts inside the other."
    )
    async def related(self, info: Info) -> "list[Match]":
        """Load the relations and their tracks."""
        rows = await info.context.loaders.related.load(self.row.id)
        return await _matches_kept(info, rows)

    @resolved(
        "Tracks that sound most like it, by the angle between vectors of features, nearest first. Empty when it has no "
        "such vector, as right after it was accepted, or when it is silent: `feature(name)` of its parts says why."
    )
    async def similar(
        self,
        info: Info,
        first: Annotated[int, strawberry.argument(description="How many, 1 to 100.")] = 10,
        by: Annotated[
            str,
            strawberry.argument(
                description="What to compare by: `timbre`, the statistics of the mel-frequency cepstrum, or another "
                "embedding whose features are computed here."
            ),
        ] = DEFAULT_EMBEDDING,
    ) -> "list[SimilarTrack]":
        """Search among all tracks, once for all that ask alike, and load what was found."""
        check_similar(info, first)
        neighbours = await info.context.loaders.similar.load(SimilarAsked(self.row.id, by, first))
        rows = await info.context.loaders.track.load_many([each.track_id for each in neighbours])
        return [
            SimilarTrack(track=Track.of_row(row), distance=each.distance)
            for each, row in zip(neighbours, rows, strict=True)
            if row is not None
        ]

    @resolved("Everything that Dagster made of it and of its submission, oldest first.")
    async def lineage(self, info: Info) -> list[Materialization]:
        """Load the lineage."""
        return await load_lineage(self.row.id, info)

    @classmethod
    def of_row(cls, row: TrackRow) -> "Track":
        """Build from a track."""
        return cls(
            row=row,
            id=strawberry.ID(row.id),
            title=row.title,
            artist=row.artist,
            album=row.album,
            duration_seconds=row.duration_s,
            accepted_at=row.accepted_at,
        )


@strawberry.type(description="A track that holds the audio of a query or an upload, where, and how sure.")
class Match:
    """GraphQL view of a match found now, of a kept relation or of a verdict's evidence."""

    track: Track = strawberry.field(description="The matching track.")
    score: float = strawberry.field(
        description="Probability that the match is right, 0 to 1, by how well and how long it agrees and how many "
        "tracks were searched. Of a kept relation or verdict: as it was then."
    )
    bit_error_rate: float = strawberry.field(
        description="Share of differing bits in them, 0 (same) to 0.5 (unrelated)."
    )
    offset_seconds: float = strawberry.field(
        description="Where the query starts inside the track, in seconds; negative when the query starts earlier."
    )
    overlap_seconds: float = strawberry.field(description="Length of the matching parts together, in seconds.")
    relation: MatchRelation = strawberry.field(description="How the query relates to the track.")


@strawberry.type(description="A track that sounds like another one.")
class SimilarTrack:
    """GraphQL view of a neighbour."""

    track: Track = strawberry.field(description="The track.")
    distance: float = strawberry.field(
        description="Cosine distance of the two vectors, each number in units of its spread over the catalogue: "
        "0 the same direction, 1 nothing in common, 2 opposite. Comparable within one embedding only."
    )


def check_similar(info: Info, first: int) -> None:
    """Raise a client error for too few or too many similar tracks, of one track or in the request together."""
    if not 1 <= first <= MAX_SIMILAR_TRACKS:
        message = f"`first` is {first}; ask for 1 to {MAX_SIMILAR_TRACKS} similar tracks."
        raise client_error(INVALID_ARGUMENT, message, argument="first")
    info.context.n_similar_tracks += first
    if info.context.n_similar_tracks > MAX_SIMILAR_TRACKS_OF_A_REQUEST:
        message = f"More than {MAX_SIMILAR_TRACKS_OF_A_REQUEST} similar tracks in one request; ask for fewer of each."
        raise client_error(INVALID_ARGUMENT, message, argument="first")


async def load_track(info: Info, track_id: str) -> Track | None:
    """Return a track by id, through the loader."""
    row = await info.context.loaders.track.load(track_id)
    return None if row is None else Track.of_row(row)


async def matches_found(info: Info, found: Iterable[RelatedMatch]) -> list[Match]:
    """Return the result of a search. Tracks that were deleted since are left out."""
    by_id = {each.match.track_id: each for each in found}
    rows = await info.context.loaders.track.load_many(list(by_id))
    return [
        Match(
            track=Track.of_row(row),
            score=each.match.score,
            bit_error_rate=each.match.bit_error_rate,
            offset_seconds=each.match.offset_s,
            overlap_seconds=each.match.overlap_s,
            relation=MatchRelation(str(each.relation)),
        )
        for each, row in zip(by_id.values(), rows, strict=True)
        if row is not None
    ]


async def match_of_verdict(info: Info, verdict: VerdictRow | None) -> Match | None:
    """Return the evidence of a verdict, None if it names no track or the track was deleted."""
    if verdict is None or verdict.matched_track_id is None or verdict.relation is None:
        return None
    track = await load_track(info, verdict.matched_track_id)
    if track is None or verdict.score is None or verdict.bit_error_rate is None or verdict.offset_s is None:
        return None
    # An identical file was never compared by fingerprint: it overlaps the track from end to end.
    overlap_s = track.row.duration_s if verdict.overlap_s is None else verdict.overlap_s
    return Match(
        track=track,
        score=verdict.score,
        bit_error_rate=verdict.bit_error_rate,
        offset_seconds=verdict.offset_s,
        overlap_seconds=overlap_s,
        relation=MatchRelation(verdict.relation),
    )


def _deleted_meanwhile(track_id: str) -> Exception:
    """Return the error for what every track has and this one has no more: other fields were read before."""
    return client_error(TRACK_DELETED, f"Track {track_id} was deleted while it was being read.")


async def _matches_kept(info: Info, rows: list[RelatedTrackRow]) -> list[Match]:
    tracks = await info.context.loaders.track.load_many([row.other_track_id for row in rows])
    return [
        Match(
            track=Track.of_row(track),
            score=row.score,
            bit_error_rate=row.bit_error_rate,
            offset_seconds=row.offset_s,
            overlap_seconds=row.overlap_s,
            relation=MatchRelation(row.relation),
        )
        for row, track in zip(rows, tracks, strict=True)
        if track is not None
    ]
