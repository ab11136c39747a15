"""Synthetic subjects: people on OpenHead whose wrinkles are known, and photos of them.

`families` says which wrinkles there are, `curves` draws them on the skin, `strain` measures how an expression
compresses it, `person` joins these to displacement maps, `expressions` samples faces, `photos` takes pictures,
`generate` writes files (`deca-train synthetic`), and `subjects` reads them.
"""

from deca_training.data.synthetic.batches import SyntheticBatches
from deca_training.data.synthetic.subjects import SyntheticSubject, SyntheticSubjects

__all__ = ["SyntheticBatches", "SyntheticSubject", "SyntheticSubjects"]
