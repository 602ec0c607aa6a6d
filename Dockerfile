# All programs in one small image: the node (the default), the operator, the command and the plugin of kubectl. `docker compose up` builds and uses it.
FROM rust:1.95-slim AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --bin driftkv-node --bin driftkv --bin driftkv-operator --bin kubectl-driftkv \
    && mkdir -p /image/usr/local/bin /image/var/lib/driftkv \
    && cp target/release/driftkv-node target/release/driftkv target/release/driftkv-operator target/release/kubectl-driftkv /image/usr/local/bin/

# A C library and nothing else: no shell, no package manager, and no root.
FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build --chown=65532:65532 /image /
ENV DRIFTKV_DATA=/var/lib/driftkv
VOLUME /var/lib/driftkv
# Clients, peers, operators, metrics.
EXPOSE 7400 7401 7402 7403
# SIGTERM finishes what is in flight; allow 20 s before anything stronger.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/driftkv-node"]
