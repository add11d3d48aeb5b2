"""HTTP routes beside GraphQL: uploads and identification as plain JSON, health, metrics, the IDE page."""
