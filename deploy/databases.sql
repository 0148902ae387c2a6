-- The orchestrators' own databases, beside the warehouse. PostgreSQL's image runs this once, when it makes the cluster.
CREATE DATABASE airflow;
CREATE DATABASE dagster;
CREATE DATABASE prefect;
