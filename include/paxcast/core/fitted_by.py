"""What fits a Prophet, in the words of outcomes. Who reads outcomes need not import Prophet, which takes seconds."""

EXACT, SHORTCUT = "exact mode", "Prophet's shortcut for a constant series"
