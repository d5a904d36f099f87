"""What a test does about a part that is missing: it fails by the part's name, or is skipped where that is allowed."""

import pytest

from tests.provision import Missing, Provision


class Require:
    """Called with the name of a part: provides it, or ends the test. may_skip: a missing part skips, not fails."""

    def __init__(self, provision: Provision, *, may_skip: bool) -> None:
        self._provision = provision
        self._may_skip = may_skip

    def __call__(self, name: str) -> None:
        try:
            self._provision.provide(name)
        except Missing as error:
            if self._may_skip:
                pytest.skip(str(error))
            pytest.fail(str(error), pytrace=False)
