"""What people do with runs that are there: see them, ask why, end them, clear up behind them."""
