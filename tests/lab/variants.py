"""Every variant: what real-world breakages look like, those seen by others first, then those that we thought of."""

from __future__ import annotations

from tests.lab.cut_off import CUT_OFF
from tests.lab.env import Variant
from tests.lab.files import FILES
from tests.lab.moved import MOVED
from tests.lab.surroundings import SURROUNDINGS
from tests.lab.unseen import UNSEEN

ALL: tuple[Variant, ...] = (
    *(Variant(f"sound-{name}", name, lambda copy: None) for name in ("good058", "good0516", "good0523")),
    *MOVED,
    *FILES,
    *SURROUNDINGS,
    *UNSEEN,
    *CUT_OFF,
)
