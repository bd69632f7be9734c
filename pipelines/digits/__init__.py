"""digits: which of ten digits a handwriting of 8 by 8 pixels shows."""
