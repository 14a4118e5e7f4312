TEXT = b"factory\n"
