"""Tests of the API. Their helpers assert too, and say as much as a test does when they fail."""

import pytest

pytest.register_assert_rewrite(
    "tests.api.installation", "tests.api.promises", "tests.api.talk", "tests.api.world"
)
