"""The HTTP ground that every module's routes stand on.

Owns: the application around the routes, request context, JSON bodies, problem answers, health,
the server.  Knows no module; a module hands in its routes.
"""
