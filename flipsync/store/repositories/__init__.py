"""Every SQL statement that is not a migration, one aggregate a file."""
