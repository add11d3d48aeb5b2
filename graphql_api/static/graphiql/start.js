// Starts GraphiQL against this server with a few queries to begin from. Everything it loads comes from this folder.

const EXAMPLES = [
  `# What is in the catalogue, with what was measured of each track.
query TracksWithFeatures {
  tracks(first: 10) {
    totalCount
    edges {
      node {
        id
        title
        artist
        durationSeconds
        features {
          name
          value
          text
          unit
          status
        }
        transcodes {
          codec
          container
          bitrateBps
          sizeBytes
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`,
  `# Which track is this? Fill in the variable below with what \`musicfp fingerprint FILE\` or fpcalc prints.
query WhichTrackIsThis($fingerprint: String!) {
  searchByFingerprint(fingerprint: $fingerprint, limit: 5) {
    __typename
    ... on SearchMatches {
      tookMs
      candidatesExamined
      matches {
        score
        relation
        offsetSeconds
        overlapSeconds
        track {
          id
          title
          artist
        }
      }
    }
    ... on InvalidFingerprint {
      code
      message
    }
  }
}
`,
  `# What became of the last uploads, and why.
query Submissions {
  submissions(first: 10) {
    edges {
      node {
        id
        filename
        status
        problems {
          code
          message
        }
        track {
          title
        }
        duplicateOf {
          relation
          score
          offsetSeconds
          track {
            id
            title
          }
        }
      }
    }
  }
}
`,
];

const VARIABLES = [undefined, '{\n  "fingerprint": ""\n}', undefined];

ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {
    fetcher: GraphiQL.createFetcher({ url: "/graphql" }),
    defaultTabs: EXAMPLES.map((query, index) => ({ query, variables: VARIABLES[index] })),
    // The headers pane is where `{"Authorization": "Bearer KEY"}` goes; the key is not kept in the browser.
    shouldPersistHeaders: false,
  }),
);
