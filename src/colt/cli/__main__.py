"""``python -m colt.cli``."""

import sys

from colt.cli.app import main

sys.exit(main())
