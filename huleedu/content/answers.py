"""How the content store says what is final, to itself in another process (see ``web.refusals``)."""

UNKNOWN = "urn:huleedu:content-unknown"
"""Nothing is stored under this ``storage_id``."""
DIFFERENT = "urn:huleedu:content-different"
"""Another content has the id of this one."""
TOO_LARGE = "urn:huleedu:content-too-large"
"""The content has more bytes than the store takes."""
