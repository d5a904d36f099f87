"""The API's tests on a node whose database is MariaDB."""
