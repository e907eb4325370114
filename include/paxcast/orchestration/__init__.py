"""The only code that knows Airflow."""
