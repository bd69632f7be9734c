"""Two steps, which `helm test` has this site run."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

import headrace as hr


@hr.step
def write(table: Output[Dataset], rows: int) -> None:
    """Write a table of numbers."""
    from pathlib import Path

    Path(table.path).write_text("\n".join(str(row) for row in range(rows)))


@hr.step
def count(table: Input[Dataset], rows: int) -> int:
    """Count its rows; the run fails if some are missing."""
    from pathlib import Path

    found = len(Path(table.path).read_text().splitlines())
    if found != rows:
        raise ValueError(f"{found} rows of {rows} arrived")
    return found


@dsl.pipeline(name="trial")
def trial(rows: int = 1000) -> int:
    """Write a table and count its rows."""
    return count(table=write(rows=rows).outputs["table"], rows=rows).output
