# syntax=docker/dockerfile:1
# Two images: docker build --target api . and docker build --target worker .

# The embedding model and the ONNX Runtime library, made by the script that 'make' uses.
FROM python:3.11-slim-bookworm AS model
WORKDIR /src
COPY scripts/settings.sh scripts/report.sh scripts/model scripts/model_to_onnx.py scripts/model_requirements.txt scripts/
RUN METACHAT_CACHE=/model scripts/model

FROM rust:1.95-bookworm AS rust
RUN apt-get update \
    && apt-get install -y --no-install-recommends protobuf-compiler libprotobuf-dev \
    && rm -rf /var/lib/apt/lists/*
RUN cargo install cargo-chef --locked
WORKDIR /src

FROM rust AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

# The dependencies are a layer of their own: it is built again only when a manifest or the lock file changes.
FROM rust AS build
ENV CARGO_PROFILE_RELEASE_LTO=thin
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --package api --package worker --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --package api --package worker

FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home metachat
ENV RUST_LOG=info LOG_FORMAT=json

FROM base AS api
COPY --from=build /src/target/release/metachat-api /src/target/release/metachat /usr/local/bin/
ENV API_BIND=0.0.0.0:8080
EXPOSE 8080
RUN install --directory --owner=metachat --group=metachat /var/lib/metachat/originals
ENV ORIGINALS_URI=/var/lib/metachat/originals
VOLUME /var/lib/metachat/originals
USER metachat
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["metachat-api"]
CMD ["serve"]

FROM base AS worker
COPY --from=model /model/model/all-MiniLM-L6-v2-int8 /opt/metachat/model
COPY --from=model /model/onnxruntime/libonnxruntime.so /opt/metachat/
COPY --from=build /src/target/release/metachat-worker /usr/local/bin/
RUN install --directory --owner=metachat --group=metachat /var/lib/metachat/lancedb /var/lib/metachat/originals
ENV WORKER_BIND=0.0.0.0:9101 \
    LANCEDB_URI=/var/lib/metachat/lancedb \
    ORIGINALS_URI=/var/lib/metachat/originals \
    EMBEDDING_MODEL_DIR=/opt/metachat/model \
    ORT_DYLIB_PATH=/opt/metachat/libonnxruntime.so
EXPOSE 9101
VOLUME /var/lib/metachat/lancedb /var/lib/metachat/originals
USER metachat
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["curl", "--fail", "--silent", "http://127.0.0.1:9101/healthz"]
ENTRYPOINT ["metachat-worker"]
CMD ["run"]
