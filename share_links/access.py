"""Who may do what with launch links. Pure; the one place for it."""

from __future__ import annotations

from enum import Enum

ACT = "custom:launch:act"
SCOPES = {
    ACT: {"description": "With a token, make launch links and take them back, as its owner may"},
}
"""As `c.JupyterHub.custom_scopes` has them."""


class Who(Enum):
    """Who may ask for a page or an address."""

    USER = "every user"
    ACTS = "every user; with a token, one that may act"
