# Build it from a clone:  docker build -t greenroom .
# Run it:                 docker run --name greenroom -p 8888:8888 -v greenroom:/data greenroom
# Ask it:                 docker exec greenroom python manage.py status

FROM python:3.13-slim-bookworm AS install
WORKDIR /greenroom
COPY requirements.txt requirements-postgresql.txt ./
# Wheels alone: nothing is compiled, and nothing but what was reviewed is installed.
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
        -r requirements.txt -r requirements-postgresql.txt

FROM python:3.13-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin greenroom \
    && chmod 700 /data
WORKDIR /greenroom
COPY --from=install /greenroom/.venv .venv
COPY manage.py alembic.ini ./
COPY migrations migrations
COPY app app
RUN .venv/bin/python -m compileall -q app migrations
ENV PATH=/greenroom/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GREENROOM_DATA_DIR=/data \
    GREENROOM_LISTEN=0.0.0.0:8888 \
    GREENROOM_LOG_FORMAT=json
# The user greenroom, by number, so that others see that it is not root.
USER 10001
VOLUME /data
EXPOSE 8888
# `docker stop` waits 10 seconds; the server says goodbye to everybody within 8.
STOPSIGNAL SIGTERM
# As /healthz has it, asked at the control socket: whatever port it listens at, with TLS or without.
HEALTHCHECK --start-period=60s --interval=30s --timeout=15s CMD ["python", "manage.py", "status", "--check"]
ENTRYPOINT ["python", "manage.py"]
CMD ["runserver"]
