WHOSE = "own\n"
