"""Enums of the schema. Their values are those that the database's constraints allow; a test holds the two together."""

from enum import Enum

import strawberry


@strawberry.enum(description="What became of an upload.")
class SubmissionStatus(Enum):
    """Values of `submission.status`."""

    AWAITING_UPLOAD = strawberry.enum_value("AWAITING_UPLOAD", description="A ticket was given out; no file has come.")
    RECEIVED = strawberry.enum_value("RECEIVED", description="The file has arrived and waits for its verdict.")
    ACCEPTED = strawberry.enum_value("ACCEPTED", description="It is a track of the catalogue now.")
    DUPLICATE = strawberry.enum_value("DUPLICATE", description="The catalogue has this recording; see `duplicateOf`.")
    NEEDS_REVIEW = strawberry.enum_value("NEEDS_REVIEW", description="Somebody has to decide: `reviewSubmission`.")
    REJECTED = strawberry.enum_value("REJECTED", description="It cannot enter the catalogue; see `problems`.")
    FAILED = strawberry.enum_value("FAILED", description="Something broke here while looking at it; it can be retried.")
    EXPIRED = strawberry.enum_value("EXPIRED", description="The ticket ran out before a file came.")


@strawberry.enum(description="How a query or an upload relates to a track, strongest first.")
class MatchRelation(Enum):
    """Values of `verdict.relation` and `related_track.relation`."""

    SAME_FILE = strawberry.enum_value("SAME_FILE", description="Byte for byte the same file.")
    SAME_RECORDING = strawberry.enum_value(
        "SAME_RECORDING", description="The same recording in any coding; each is at least 80 % of the other."
    )
    EXCERPT = strawberry.enum_value("EXCERPT", description="The query is a part of the track.")
    CONTAINS = strawberry.enum_value("CONTAINS", description="The track is a part of the query.")
    SIMILAR = strawberry.enum_value(
        "SIMILAR", description="They share music that is neither: a mix, a remix, a sample, or a noisy clip."
    )


@strawberry.enum(description="Whether a feature has a value, and if not, why not.")
class FeatureStatus(Enum):
    """Values of `feature.status`."""

    OK = strawberry.enum_value("OK", description="There is a value.")
    UNKNOWN = strawberry.enum_value("UNKNOWN", description="This audio has no answer: too short, silent, ambiguous.")
    UNAVAILABLE = strawberry.enum_value("UNAVAILABLE", description="The model that would answer is not installed.")
    FAILED = strawberry.enum_value("FAILED", description="The extractor broke or took too long.")
