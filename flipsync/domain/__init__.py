"""Values and words of the business: money, ids, events, commands, decisions, errors. No I/O, no library but pydantic."""
