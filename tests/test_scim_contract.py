"""The store of SCIM keeps the contract that its library has published for stores."""

from __future__ import annotations

import pytest

pytest.importorskip("scim2_server", reason="the library needs Python 3.11")

from scim2_models import ScimProvider
from scim2_server.testing import ScimStorageContract
from scim2_server.utils import load_default_provider
from scim_server import new_store

from hub_groups.scim_models import provider as ours
from hub_groups.scim_storage import Storage

pytestmark = pytest.mark.slow


class TestStorage(ScimStorageContract):
    @pytest.fixture
    def provider(self) -> ScimProvider:
        """The library's models, which are more than ours, and what we say that we can."""
        theirs = load_default_provider()
        return ScimProvider(theirs.models, theirs.resource_types, ours().config)

    @pytest.fixture
    def storage(self, tmp_path, provider):
        store = new_store(f"sqlite:///{tmp_path}/groups.sqlite")
        yield Storage(store, provider, writes=True)
        store.engine.dispose()
