"""A running fake of the API and of its object store."""

from tests.support.fake_service import service

__all__ = ["service"]
