# One image for Airflow, Spark and MLflow: the same Python and the same packages on the driver and on the workers.
# A first version: built and run by no one yet on a Docker engine (see docs/adr/0003-docker-first-version.md).
FROM apache/airflow:3.3.2-python3.12

USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless libgomp1 \
    && rm -rf /var/lib/apt/lists/*

USER airflow
WORKDIR /opt/paxcast
COPY --chown=airflow:root requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY --chown=airflow:root pyproject.toml README.md ./
COPY --chown=airflow:root include include
COPY --chown=airflow:root dags dags
COPY --chown=airflow:root plugins plugins
RUN pip install --no-cache-dir --no-deps --no-index --no-build-isolation -e . \
    && python -c "from paxcast.jobs.searches import warm; warm()"

ENV AIRFLOW__CORE__DAGS_FOLDER=/opt/paxcast/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/paxcast/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    PAXCAST_HOME=/opt/paxcast/.paxcast
