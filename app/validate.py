"""The forms of names, addresses and texts, as Mattermost's model package has them."""

import re

_USERNAME = re.compile(r"[a-z][a-z0-9._-]{2,63}")
_RESERVED_USERNAMES = frozenset({"all", "channel", "here", "matterbot", "system"})
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_TEAM_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])")
_RESERVED_TEAM_NAMES = (
    "admin", "api", "channel", "claim", "error", "files", "help", "landing", "login", "mfa", "oauth", "plug",
    "plugins", "post", "signup", "boards", "playbooks",
)  # fmt: skip
_CHANNEL_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])")
_DIRECT_NAME = re.compile(r"[a-z0-9]{26}__[a-z0-9]{26}|[0-9a-f]{40}")
_LOCALE = re.compile(r"[a-z]{2}(?:-[A-Z]{2})?")
_POST_TYPE = re.compile(r"custom_[A-Za-z0-9_.-]{1,19}")
_EMOJI_NAME = re.compile(r"[A-Za-z0-9_+-]{1,64}")

MAX_EMAIL = 128
MAX_POST_RUNES = 16_383
MAX_PROPS_BYTES = 8_000
MAX_EMOJI_NAME = 64


def is_username(text: str) -> bool:
    """3 to 64 of a-z0-9._-, a letter first, not reserved."""
    return _USERNAME.fullmatch(text) is not None and text not in _RESERVED_USERNAMES


def is_email(text: str) -> bool:
    """An address in lower case, at most 128 characters."""
    return len(text) <= MAX_EMAIL and _EMAIL.fullmatch(text) is not None


def is_locale(text: str) -> bool:
    """'', 'en' or 'pt-BR'."""
    return text == "" or _LOCALE.fullmatch(text) is not None


def is_team_name(text: str) -> bool:
    """2 to 64 of a-z0-9-, neither first nor last a dash."""
    return 2 <= len(text) <= 64 and _TEAM_NAME.fullmatch(text) is not None


def is_reserved_team_name(text: str) -> bool:
    """Begins like a path of the web application."""
    return text.startswith(_RESERVED_TEAM_NAMES)


def is_channel_name(text: str) -> bool:
    """2 to 64 of a-z0-9_-, first and last a letter or digit."""
    return 2 <= len(text) <= 64 and _CHANNEL_NAME.fullmatch(text) is not None


def is_direct_channel_name(text: str) -> bool:
    """Two ids joined by two underscores, or a SHA-1: only direct and group channels have such names."""
    return _DIRECT_NAME.fullmatch(text) is not None


def is_custom_post_type(text: str) -> bool:
    """Clients may set '' or a type of their own; the others are the server's."""
    return text == "" or _POST_TYPE.fullmatch(text) is not None


def is_emoji_name(text: str) -> bool:
    """1 to 64 of a-zA-Z0-9_+-, whether there is such an emoji or not: clients have their own."""
    return _EMOJI_NAME.fullmatch(text) is not None


def is_in_domains(email: str, domains: str) -> bool:
    """Whether the address is of one of the domains (separated by commas or spaces; none: any)."""
    allowed = domains_of(domains)
    return not allowed or email.rpartition("@")[2] in allowed


def domains_of(domains: str) -> list[str]:
    """Domains that are separated by commas or spaces, with or without an @ before them."""
    return domains.replace(",", " ").replace("@", " ").lower().split()


def hashtags(message: str) -> str:
    """The message's hashtags as Mattermost stores them: in order, separated by spaces, at most 1000 characters."""
    if "#" not in message:
        return ""
    found = dict.fromkeys(_HASHTAG.findall(message))
    text = " ".join(found)
    return text if len(text) <= 1000 else text[:1000].rpartition(" ")[0]


_HASHTAG = re.compile(r"(?<![\w#])#[^\W\d_][\w.-]*[^\W_]")
