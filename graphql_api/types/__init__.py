"""GraphQL types, one module per subject. They are built from rows and never share a module with a table class."""
