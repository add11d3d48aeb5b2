"""Where a queue is, by its URL and the environment. What it does is tested on a real server (tests/integration)."""

import pytest

from musicfp.errors import QueueUnavailable, SettingsError
from musicfp.settings import Settings
from musicfp.store.notifications import open_queue


def _settings(url: str) -> Settings:
    return Settings.from_env({"MUSICFP_S3_MANAGED": "0", "MUSICFP_SQS_QUEUE_URL": url})


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/musicfp", "eu-central-1"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/musicfp", "eu-west-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/musicfp", "cn-north-1"),
    ],
)
def test_the_region_of_a_queue_of_aws_stands_in_its_url(url: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that is signed for another region is refused."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    queue = open_queue(_settings(url))
    assert queue.client.meta.region_name == region
    queue.client.close()


def test_another_server_needs_a_region_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(QueueUnavailable, match="region"):
        open_queue(_settings("http://127.0.0.1:9/1/queue"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    queue = open_queue(_settings("http://127.0.0.1:9/1/queue"))
    assert queue.client.meta.region_name == "us-east-2"
    queue.client.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"MUSICFP_S3_MANAGED": "0", "MUSICFP_SQS_QUEUE_URL": "arn:aws:sqs:eu-central-1:1:musicfp"},
            "not its name or ARN",
        ),
        ({"MUSICFP_SQS_QUEUE_URL": "http://127.0.0.1:9/1/queue"}, "embedded object store sends no notifications"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings.from_env(environment)
