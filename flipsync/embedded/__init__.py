"""Real parts that come with the package: PostgreSQL, Redis and a local Ray head, started, watched and stopped by us."""
