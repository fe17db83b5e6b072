# syntax=docker/dockerfile:1
# The page of `unbraid serve` on the CPU:
#   docker build -t unbraid .
#   docker run --rm -p 127.0.0.1:8765:8765 -e UNBRAID_TOKEN=choose-one -v unbraid:/data unbraid
# then open http://localhost:8765/?token=choose-one
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src src
# torch first, from the index of builds without CUDA, which is a tenth as large
RUN python -m venv /opt/unbraid \
    && /opt/unbraid/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
        "torch>=2.6,<2.14" \
    && /opt/unbraid/bin/pip install --no-cache-dir ".[web]"

FROM python:3.12-slim
COPY --from=build /opt/unbraid /opt/unbraid
RUN useradd --create-home --uid 1000 unbraid && install -d -o 1000 -g 1000 /data
USER 1000:1000
ENV PATH=/opt/unbraid/bin:$PATH PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8765
# not through a proxy, which Docker may set for all containers
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://localhost:8765/api/health', timeout=4)"]
ENTRYPOINT ["unbraid", "serve", "--host", "0.0.0.0", "--folder", "/data"]
