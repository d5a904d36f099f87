"""Our version, and the version of Mattermost whose protocol we speak."""

VERSION = "0.1.0"
MATTERMOST_VERSION = "5.37.0"
BUILD_NUMBER = "mmnode"
