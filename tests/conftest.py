"""What holds for every test of the suite. The policies of the folders stand in their own conftest.py.

* Tests do not depend on the speed of the machine: see `pace.py`.
* Examples of Hypothesis have no deadline each, for the same reason, and are the same in each run; a hunt for new ones
  is `pytest --hypothesis-profile=hunt`.
"""

from hypothesis import settings

settings.register_profile("artemis", deadline=None, derandomize=True)
settings.register_profile("hunt", deadline=None, max_examples=2_000)
settings.load_profile("artemis")
