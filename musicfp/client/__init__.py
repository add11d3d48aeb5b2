"""A client of the musicfp API and of Dagster's: uploading, identifying, reading the catalogue, launching backfills.

What belongs here: everything the command line and other Python programs do over HTTP. What does not: printing
(`musicfp.cli`) and anything that touches the database or the object store without the API.
"""
