WHOSE = b"own\n"
