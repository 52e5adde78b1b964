"""A method of one's own: name this file in a study's `use`, and the method in an arm.

`ablate check {name}.py` proves that it starts at the backbone, trains all that it should,
merges, exports, packs and resumes.
"""

from dataclasses import dataclass

from ablate import Method, Site, Update, hyper, kaiming_uniform, register, zeros


@register("{name}")
@dataclass(frozen=True, kw_only=True)
class MyMethod(Method):
    """`ΔW = s · B A` with a plain scale: change it into yours."""

    rank: int = hyper(8, low=1, help="inner dimension")
    scale: float = hyper(2.0, low=0.0, help="what the update is multiplied with")

    def init(self, site: Site, generator):
        """Starting values of one site; draw from `generator` alone, the right factor first."""
        return {
            "a": kaiming_uniform(self.rank, site.inputs, generator=generator),
            "b": zeros(site.outputs, self.rank),
        }

    def update(self, p):
        """Of S sites: left (S, outputs, R), core (S, R, R) or None, right (S, R, inputs)."""
        return Update(left=p["b"], core=None, right=p["a"], scale=self.scale)
