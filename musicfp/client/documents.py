"""The GraphQL documents that the client sends. Names are those of `graphql_api/schema.graphql`."""

_MATCH = """
fragment MatchFields on Match {
  track { id title artist }
  score bitErrorRate offsetSeconds overlapSeconds relation
}
"""

_SUBMISSION = (
    _MATCH
    + """
fragment SubmissionFields on Submission {
  id status filename receivedAt
  problems { code message field }
  track { id title artist }
  duplicateOf { ...MatchFields }
  trackDeletion { trackId requestedAt reason }
}
"""
)

NOTHING = "query Nothing { __typename }"

REQUEST_UPLOAD = """
mutation RequestUpload($filename: String!, $sizeBytes: Int!, $submitter: String) {
  requestUpload(filename: $filename, sizeBytes: $sizeBytes, submitter: $submitter) {
    __typename
    ... on UploadTicket {
      submissionId url method expiresAt
      headers { name value }
      parts { partNumber url sizeBytes }
    }
    ... on InvalidRequest { code message field }
  }
}
"""

COMPLETE_UPLOAD = """
mutation CompleteUpload($submissionId: ID!, $parts: [CompletedPart!]!) {
  completeUpload(submissionId: $submissionId, parts: $parts) {
    __typename
    ... on InvalidRequest { code message field }
  }
}
"""

SUBMISSION = (
    _SUBMISSION
    + """
query OneSubmission($id: ID!) { submission(id: $id) { ...SubmissionFields } }
"""
)

SUBMISSIONS = (
    _SUBMISSION
    + """
query Submissions($first: Int!, $after: String, $status: SubmissionStatus) {
  submissions(first: $first, after: $after, status: $status) {
    edges { node { ...SubmissionFields } }
    pageInfo { hasNextPage endCursor }
    totalCount
  }
}
"""
)

TRACKS = """
query Tracks($first: Int!, $after: String, $filter: TrackFilter) {
  tracks(first: $first, after: $after, filter: $filter) {
    edges { node { id title artist album durationSeconds } }
    pageInfo { hasNextPage endCursor }
    totalCount
  }
}
"""

TRACK = (
    _MATCH
    + """
query OneTrack($id: ID!) {
  track(id: $id) {
    id title artist album durationSeconds
    tags { name value }
    source { codec container bitrateBps sizeBytes url }
    transcodes { profile codec container bitrateBps sizeBytes url }
    fingerprint { encoded algorithm itemCount durationSeconds }
    features { name value text vector unit confidence status reason extractor version computedAt }
    related { ...MatchFields }
    lineage { assetKey partitionKey runId codeVersion materializedAt url }
  }
}
"""
)

_DELETION = """
fragment DeletionFields on TrackDeletion {
  trackId reason requestedAt finishedAt runId
  removed { kind count sizeBytes }
}
"""

DELETE_TRACK = (
    _DELETION
    + """
mutation DeleteTrack($id: ID!, $reason: String) {
  deleteTrack(id: $id, reason: $reason) {
    __typename
    ...DeletionFields
    ... on InvalidRequest { code message field }
  }
}
"""
)

TRACK_DELETION = (
    _DELETION
    + """
query OneDeletion($id: ID!) { trackDeletion(id: $id) { ...DeletionFields } }
"""
)

FEATURE_COVERAGE = """
query FeatureCoverage {
  featureCoverage {
    extractor version trackCount doneCount pendingCount failedCount outdatedCount share
    versions { version trackCount }
  }
}
"""

SIMILAR = """
query Similar($id: ID!, $first: Int!, $by: String!) {
  track(id: $id) { similar(first: $first, by: $by) { distance track { id title artist } } }
}
"""

FEATURE_DEFINITIONS = "query FeatureDefinitions { featureDefinitions { name } }"
