"""Step: scikit-learn's handwritten digits in three parts."""

from __future__ import annotations

from kfp.dsl import Dataset, Output

import headrace as hr


@hr.step
def split(train: Output[Dataset], validate: Output[Dataset], test: Output[Dataset]) -> None:
    """Split the 1,797 digits at random, 60 to 20 to 20, every digit alike in each part.

    Args:
        train: For the weights.
        validate: For choosing the learning rate.
        test: For the figures, seen by nothing else.
    """
    import pandas as pd
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, truth = load_digits(return_X_y=True)
    rows = pd.DataFrame(images, columns=[f"pixel_{number:02}" for number in range(64)])
    rows = rows.astype("float32").assign(digit=truth)
    first, rest = train_test_split(rows, test_size=0.4, stratify=rows.digit, random_state=13)
    second, third = train_test_split(rest, test_size=0.5, stratify=rest.digit, random_state=13)
    for part, output in ((first, train), (second, validate), (third, test)):
        part.to_parquet(output.path, index=False)
        output.metadata["rows"] = len(part)
