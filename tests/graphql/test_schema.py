"""The schema as a product: checked in, described, as the contract says, and importable without heavy company."""

import subprocess
import sys
from pathlib import Path

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLObjectType, build_schema

from graphql_api.export_schema import SCHEMA_PATH
from graphql_api.schema import sdl
from graphql_api.types.enums import FeatureStatus, MatchRelation, SubmissionStatus
from musicfp.catalog import tables
from tests.graphql.conftest import Api

CONTRACT = {
    "Query.submission": "Submission",
    "Query.submissions": "SubmissionConnection!",
    "Query.track": "Track",
    "Query.tracks": "TrackConnection!",
    "Query.searchByFingerprint": "SearchByFingerprintResult!",
    "Query.featureDefinitions": "[FeatureDefinition!]!",
    "Mutation.requestUpload": "RequestUploadResult!",
    "Mutation.completeUpload": "CompleteUploadResult!",
    "Mutation.reviewSubmission": "ReviewSubmissionResult!",
    "Mutation.retrySubmission": "RetrySubmissionResult!",
    "Mutation.deleteTrack": "DeleteTrackResult!",
    "UploadTicket.submissionId": "ID!",
    "UploadTicket.headers": "[Header!]!",
    "UploadTicket.expiresAt": "DateTime!",
    "UploadTicket.parts": "[UploadPart!]",
    "InvalidRequest.field": "String",
    "Submission.status": "SubmissionStatus!",
    "Submission.receivedAt": "DateTime",
    "Submission.problems": "[Problem!]!",
    "Submission.track": "Track",
    "Submission.duplicateOf": "Match",
    "Submission.lineage": "[Materialization!]!",
    "SearchMatches.matches": "[Match!]!",
    "SearchMatches.candidatesExamined": "Int!",
    "SearchMatches.tookMs": "Float!",
    "Match.relation": "MatchRelation!",
    "Match.offsetSeconds": "Float!",
    "Track.album": "String",
    "Track.tags": "[Tag!]!",
    "Track.source": "AudioFile!",
    "Track.transcodes": "[Transcode!]!",
    "Track.fingerprint": "Fingerprint!",
    "Track.feature": "FeatureValue",
    "Track.features": "[FeatureValue!]!",
    "Track.related": "[Match!]!",
    "Track.lineage": "[Materialization!]!",
    "FeatureValue.vector": "[Float!]",
    "FeatureValue.status": "FeatureStatus!",
    "Materialization.runId": "ID!",
    "Materialization.url": "String",
    "PageInfo.endCursor": "String",
    "TrackConnection.totalCount": "Int!",
}


def test_the_checked_in_schema_is_the_schema() -> None:
    message = "run `python -m graphql_api.export_schema`"
    assert SCHEMA_PATH.read_text(encoding="utf-8") == sdl(), message


def test_the_schema_is_served_as_text(api: Api) -> None:
    answer = api.request("GET", "/schema.graphql")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == sdl()


@pytest.mark.parametrize(("field", "expected"), CONTRACT.items())
def test_the_contract_is_kept(field: str, expected: str) -> None:
    type_name, _, field_name = field.partition(".")
    found = build_schema(sdl()).type_map[type_name]
    assert isinstance(found, GraphQLObjectType)
    assert str(found.fields[field_name].type) == expected


def test_every_type_field_argument_and_value_is_described() -> None:
    undescribed = []
    for name, found in build_schema(sdl()).type_map.items():
        if name.startswith("__") or name in {"String", "Int", "Float", "Boolean", "ID"}:
            continue
        parts = {"": found.description}
        if isinstance(found, GraphQLObjectType | GraphQLInputObjectType):
            parts |= {field: each.description for field, each in found.fields.items()}
        if isinstance(found, GraphQLObjectType):
            parts |= {
                f"{field}({argument})": each.description
                for field, of in found.fields.items()
                for argument, each in of.args.items()
            }
        if isinstance(found, GraphQLEnumType):
            parts |= {value: each.description for value, each in found.values.items()}
        undescribed += [f"{name}.{part}" for part, description in parts.items() if not description]
    assert undescribed == []


def test_enums_are_those_of_the_database() -> None:
    assert tuple(SubmissionStatus.__members__) == tables.SUBMISSION_STATUSES
    assert tuple(MatchRelation.__members__) == tables.RELATIONS
    assert tuple(FeatureStatus.__members__) == tables.FEATURE_STATUSES


def test_feature_definitions_are_those_of_the_extractors(api: Api) -> None:
    found = api.data("{ featureDefinitions { name unit description extractor version minimum maximum } }")
    names = [each["name"] for each in found["featureDefinitions"]]
    assert names == [each.name for each in api.services.feature_definitions]
    assert names
    assert all(each["description"] for each in found["featureDefinitions"])


def test_the_api_imports_neither_dagster_nor_essentia() -> None:
    program = (
        "import sys, graphql_api.app, graphql_api.services as s\n"
        "from musicfp.features.registry import load_builtin\n"
        "load_builtin(())\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "heavy = loaded & {'dagster', 'dagster_aws', 'essentia', 'musicfp_assets'}\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
