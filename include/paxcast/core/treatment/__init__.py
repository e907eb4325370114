"""A history made fit for fitting: cut, filled and bridged by what was known at a cutoff, each step on record.

Treatment is causal: `treat(raw.head(cutoff), rules)` is a function of the periods before the cutoff alone, so a fold
must be treated anew and never cut out of a longer treated series.
"""

from paxcast.core.treatment.line import treat
from paxcast.core.treatment.raw import Raw, on_grid
from paxcast.core.treatment.rules import SHOCKS, Rules, Shock
from paxcast.core.treatment.treated import Step, Treated

__all__ = ["SHOCKS", "Raw", "Rules", "Shock", "Step", "Treated", "on_grid", "treat"]
