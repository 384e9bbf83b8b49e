# The service, and every command (docs/deployment.md):
#   docker build -t flexibert-nas .
#   docker run --rm -p 127.0.0.1:8000:8000 --shm-size 2g -v nas:/runs -e SEARCH_SERVE_TOKEN flexibert-nas
# With CUDA: --build-arg TORCH_INDEX=https://pypi.org/simple
FROM python:3.11-slim AS packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /source
RUN python -m venv /opt/nas
ENV PATH=/opt/nas/bin:$PATH
COPY constraints.txt ./
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" --extra-index-url https://pypi.org/simple \
    "$(grep '^torch==' constraints.txt)"
RUN pip install --no-cache-dir --constraint constraints.txt 'ray[default,tune]'
COPY pyproject.toml README.md LICENSE ./
COPY flexibert_nas flexibert_nas
COPY design_space design_space
COPY embeddings embeddings
COPY flexibert flexibert
COPY dataset dataset
COPY search search
RUN pip install --no-cache-dir --constraint constraints.txt '.[all]'

FROM python:3.11-slim
# wget: with it KubeRay asks whether a node lives. The profile: it starts Ray in a login shell.
RUN apt-get update && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && echo 'PATH=/opt/nas/bin:$PATH' > /etc/profile.d/nas.sh \
    && useradd --uid 1000 --create-home nas && mkdir /runs && chown nas /runs
COPY --from=packages /opt/nas /opt/nas
ENV PATH=/opt/nas/bin:$PATH
USER 1000
WORKDIR /runs
VOLUME /runs
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/', timeout=4)"]
CMD ["python", "-m", "search.serve", "--root", "/runs/service", "--host", "0.0.0.0", "--port", "8000"]
