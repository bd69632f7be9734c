"""Names, quantities, states, errors, expressions. No I/O, nothing foreign, no other room."""
