"""PostgreSQL: models, repositories, migrations, row-level security. The only place that knows SQL."""
