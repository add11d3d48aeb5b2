"""Reading what S3's notifications say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicfp.store.s3_events import Arrival, Notification, read_notification
from tests.support.notifying import event_body, record

BUCKET = "in"
NO_NOTIFICATION = "it is no notification of S3"


@pytest.mark.parametrize(
    ("encoded", "key"),
    [
        ("a+b.mp3", "a b.mp3"),
        ("a%2Bb.mp3", "a+b.mp3"),
        ("a%2Fb/c.mp3", "a/b/c.mp3"),
        ("%C3%BC.mp3", "ü.mp3"),
        ("100%25.mp3", "100%.mp3"),
    ],
)
def test_keys_are_encoded_as_in_a_form(encoded: str, key: str) -> None:
    assert read_notification(event_body(BUCKET, encoded, etag='"abc"'), bucket=BUCKET).arrivals == (
        Arrival(key, "abc"),
    )


def test_an_etag_may_be_missing() -> None:
    """Then the object is asked in any case."""
    told = record(BUCKET, "a.mp3")
    del told["s3"]["object"]["eTag"]  # type: ignore[index]
    assert read_notification(json.dumps({"Records": [told]}), bucket=BUCKET).arrivals == (Arrival("a.mp3", None),)


def test_other_stores_name_events_with_a_prefix() -> None:
    """MinIO does."""
    body = event_body(BUCKET, "a.mp3", event="s3:ObjectCreated:CompleteMultipartUpload")
    assert len(read_notification(body, bucket=BUCKET).arrivals) == 1


def test_a_test_event_and_other_events_are_of_no_interest() -> None:
    test_event = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": BUCKET})
    for body in (test_event, event_body(BUCKET, "a.mp3", event="ObjectRemoved:DeleteMarkerCreated")):
        assert read_notification(body, bucket=BUCKET) == Notification(n_ignored=1)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "it is not JSON"),
        ("\x00", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "it is not JSON"),
        ("null", NO_NOTIFICATION),
        ("{}", NO_NOTIFICATION),
        ('{"Records": []}', NO_NOTIFICATION),
        ('{"Records": [null]}', NO_NOTIFICATION),
        ('{"Records": [{"eventName": "ObjectCreated:Put", "s3": []}]}', NO_NOTIFICATION),
        (event_body(BUCKET, ""), NO_NOTIFICATION),
        (event_body("other", "a.mp3"), "it is about the bucket 'other', not 'in'"),
        (event_body(BUCKET, "\ud800.mp3"), "its key is not Unicode"),
    ],
)
def test_what_cannot_be_understood_has_a_reason(body: str, problem: str) -> None:
    assert read_notification(body, bucket=BUCKET) == Notification(problem=problem)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["Records", "eventName", "s3", "bucket", "object", "name", "key"]), inner)
    ),
    max_leaves=20,
)


@given(st.text() | _JSON.map(json.dumps) | _JSON.map(lambda each: json.dumps({"Records": [each]})))
def test_nothing_that_comes_in_a_message_is_an_exception(body: str) -> None:
    """And nothing without an event of S3 is anything but a problem."""
    told = read_notification(body, bucket=BUCKET)
    assert told.problem or told.arrivals or told.n_ignored
