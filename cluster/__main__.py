"""`python -m mmnode` in an installed wheel."""

import sys

from mmnode import main

sys.exit(main())
