def table(case, rows):
    return "\n".join(f"{w.name} {w.how} {r}" for w, r in rows)
