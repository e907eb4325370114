"""Use cases: read, call the core, write. Each runs from a shell, without Airflow."""
