"""What is served by SCIM: the models of users and groups, and what this server can do."""

from __future__ import annotations

from typing import Annotated, Any

import scim2_models as scim
from pydantic import Field

from .scim_rows import LONGEST_PAGE

SPECIFICATION = "https://www.rfc-editor.org/rfc/rfc6750"


class Email(scim.ComplexAttribute):
    """An address as the directory has it: also `anna@corp.local`, which the library refuses."""

    value: str | None = None
    display: str | None = None
    type: str | None = None
    primary: bool | None = None


class User(scim.User[Any]):
    """A user of the directory."""

    emails: list[Email] | None = None  # type: ignore[assignment]


class Member(scim.ComplexAttribute):
    """A user in a group, by their id alone. Groups in groups there are none."""

    value: Annotated[
        str | None, scim.Mutability.immutable, scim.CaseExact.true, scim.Required.true
    ] = None
    ref: Annotated[scim.Reference[User] | None, scim.Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )


class Group(scim.Resource[Any]):
    """A group of the directory, whose name is that of a group in the hub and so is there once."""

    __schema__ = scim.URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, scim.Required.true, scim.Uniqueness.server] = None
    members: list[Member] | None = None


def provider() -> scim.ScimProvider:
    """The description of this server."""
    return scim.ScimProvider(
        models=[User, Group],
        config=scim.ServiceProviderConfig(
            patch=scim.Patch(supported=True),
            bulk=scim.Bulk(supported=False, max_operations=0, max_payload_size=0),
            filter=scim.Filter(supported=True, max_results=LONGEST_PAGE),
            change_password=scim.ChangePassword(supported=False),
            sort=scim.Sort(supported=True),
            etag=scim.ETag(supported=True),
            authentication_schemes=[
                scim.AuthenticationScheme.model_validate(
                    {
                        "type": "oauthbearertoken",
                        "name": "Bearer token",
                        "description": "A token that an admin of this hub made for the directory",
                        "specUri": SPECIFICATION,
                        "primary": True,
                    }
                )
            ],
        ),
        # What Entra ID sends, beyond the specification: attributes that we don't know, a
        # removal that says by its value what is removed, e-mail addresses that are there only
        # by their type.
        policy=scim.ScimPolicy.model_validate(
            {
                "unknown": "ignore",
                "remove_value_as_filter": "apply",
                "unmatched_path_filter": "create",
            }
        ),
    )
