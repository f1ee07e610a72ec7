"""The composition root: the only place that knows every module and picks the transport."""

from huleedu.app.all_in_one import Running, all_in_one, serve_all_in_one
from huleedu.app.roles import RunningRoles, running_roles, serve_roles
from huleedu.core.roles import ROLES

__all__ = [
    "ROLES",
    "Running",
    "RunningRoles",
    "all_in_one",
    "running_roles",
    "serve_all_in_one",
    "serve_roles",
]
