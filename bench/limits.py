"""How many descriptors this process and its children may have."""

import resource


def allow_descriptors(count: int) -> None:
    """Raise the limit to at least this. Raises ValueError when the system allows no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
