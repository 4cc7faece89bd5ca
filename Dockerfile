# syntax=docker/dockerfile:1
#
# Build (Docker with BuildKit, its default; Podman: add `--format docker`, or the health check is left out):
#   docker build -t tidegate .
#
# Run, with a directory that holds tidegate.toml:
#   docker run -d --name tidegate -p 8080:8080 -v "$PWD/etc:/etc/tidegate:ro" --stop-timeout 40 tidegate
#
#   Mount the directory, not the file: an editor that saves by renaming replaces the file, and a mounted file would stay the old
#   one, so that edits never arrive. The file's listener has to be on 0.0.0.0:8080, and it needs an [admin] table, whose default
#   address inside the container is where the health check asks. The stop timeout is longer than drain_delay and drain_timeout
#   together (3s and 30s by default); Docker's own ten seconds would cut the drain short.
#
# Check a configuration:
#   docker run --rm -v "$PWD/etc:/etc/tidegate:ro" tidegate check /etc/tidegate/tidegate.toml

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# Function names stay, for backtraces; line tables would be most of the image.
ENV CARGO_PROFILE_RELEASE_STRIP=debuginfo
COPY . .
# The caches keep the registry and the compiled dependencies between builds. They are not part of the layer, so the program is
# copied out in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin tidegate \
    && install -D target/release/tidegate /out/tidegate

# The C library of the same Debian release, and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY LICENSE /LICENSE
COPY --from=build /out/tidegate /tidegate
# The image's own `nonroot`, as a number: Kubernetes checks `runAsNonRoot` only against one.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s --retries=3 CMD ["/tidegate", "status", "--ready"]
ENTRYPOINT ["/tidegate"]
CMD ["run", "/etc/tidegate/tidegate.toml"]
