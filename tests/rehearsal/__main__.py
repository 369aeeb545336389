"""Run the program once without an engine and without a state; `python -m tests.rehearsal STACK-FILE`.

This is for machines where pulumi cannot be had. It shows that the program works; a change of a mesh needs the engine.
"""

import sys
from pathlib import Path

from tests.rehearsal.state import State
from tests.rehearsal.verbs import end, rehearse

end(rehearse("up", (), Path(sys.argv[1]), State(), Path(__file__).parents[2] / "__main__.py"))
