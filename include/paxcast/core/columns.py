"""Column names of the tables, in one place.

One contract for every frame of traffic, checked once at the door:
`airport` (text), `ds` (start of the period, a naive local date), `y` (traffic in that period, >= 0 once validated),
`known_at` (UTC instant from which the row may be read), `receipt` (the ingestion that brought it).
"""

AIRPORT = "airport"
DS = "ds"
Y = "y"
KNOWN_AT = "known_at"
RECEIPT = "receipt"
FLEET = "fleet"
BUCKET = "bucket"
RUN_KEY = "run_key"

HISTORY = [AIRPORT, DS, Y]
OBSERVATION = [AIRPORT, DS, Y, KNOWN_AT, RECEIPT]

AIRPORT_PATTERN = r"^[A-Z0-9_-]{2,8}$"
