# One image for every program: `paceline node`, `paceline discovery`, the embedded DynamoDB, and
# the command line for health checks and operating.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Locked dependencies first: a change of our sources leaves these layers as they are.
COPY requirements requirements
COPY deploy/locked.py deploy/locked.py
RUN --mount=type=cache,target=/root/.cache/pip \
    python deploy/locked.py requirements/dev.txt \
        hatchling packaging pathspec pluggy trove-classifiers > /tmp/hatchling.txt \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes --no-deps \
        -r requirements/build.txt -r /tmp/hatchling.txt \
    && /opt/build/bin/pip wheel --require-hashes --no-deps --use-pep517 --no-build-isolation \
        --wheel-dir /wheels -r requirements/server.txt

COPY LICENSE README.md pyproject.toml ./
COPY client client
COPY local local
COPY cluster cluster
COPY node node
COPY discovery discovery
COPY paceline_server paceline_server
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels \
        ./client ./local . \
    && python -m venv --without-pip /opt/paceline \
    && /opt/build/bin/pip --python /opt/paceline/bin/python install --no-deps --no-index \
        /wheels/*.whl

# The embedded DynamoDB pins botocore, so it has an environment of its own. Of botocore's service
# descriptions only DynamoDB's, those of the credential chain and those of the services that discovery
# answers for are of use here: 25 MB each.
RUN --mount=type=cache,target=/root/.cache/pip \
    PACELINE_EMBEDDED_HOME=/opt/embedded /opt/paceline/bin/paceline embedded install \
    && /opt/embedded/bin/pip uninstall --quiet --yes setuptools pip \
    && find /opt/paceline/lib /opt/embedded/lib -path '*/botocore/data/*' -prune \
        ! -name dynamodb ! -name sts ! -name sso ! -name sso-oidc ! -name signin \
        ! -name cloudwatch ! -name dax \
        -type d -exec rm -rf {} +

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Paceline" \
      org.opencontainers.image.description="A self-hosted DAX-compatible cache cluster for DynamoDB" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/paceline/bin:$PATH \
    PACELINE_EMBEDDED_HOME=/opt/embedded \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# Volumes take over owner and mode of the directories that they are first mounted on.
RUN groupadd --gid 10001 paceline \
    && useradd --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home \
        --shell /usr/sbin/nologin paceline \
    && install -d -m 0700 -o paceline -g paceline /data /run/paceline /run/paceline-authority \
    && install -d -m 0755 -o paceline -g paceline /run/paceline-clients /run/paceline-monitoring
COPY --from=build /opt/paceline /opt/paceline
COPY --from=build /opt/embedded /opt/embedded
COPY deploy/entrypoint.py /opt/paceline/entrypoint.py
USER 10001:10001
WORKDIR /data
# -P: nothing in the working directory or beside the script can stand in for a module.
ENTRYPOINT ["/opt/paceline/bin/python", "-P", "/opt/paceline/entrypoint.py"]
CMD ["--help"]
