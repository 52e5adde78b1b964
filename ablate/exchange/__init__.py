"""Results of other programs, read as the table that statistics read, and written for them.

`read` tells what a file is by what is in it. What the file does not say (which of many numbers is
the score, which direction is better) is asked for by name, never guessed.
"""

from ablate.exchange.columns import Columns
from ablate.exchange.reading import Imported, read

__all__ = ["Columns", "Imported", "read"]
