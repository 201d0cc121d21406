"""`python -m gptbench` is the command `gptbench`."""

import sys

from gptbench.cli import main

sys.exit(main())
