"""The composition root: the only place that knows every module and picks the transport."""

from huleedu.app.all_in_one import Running, all_in_one, serve_all_in_one
from huleedu.core.roles import ROLES

__all__ = ["ROLES", "Running", "all_in_one", "serve_all_in_one"]
