# syntax=docker/dockerfile:1
# The switch, fs_cli, the shipped configuration and synthesised prompts, without the tools that made them.
#
#   docker build -t ferroswitch .
#   docker run --rm --network host ferroswitch
#
# docs/configuration.md says what the environment changes. RTP needs a port per leg: with bridged networks,
# publish 16384-32768/udp and set FERROSWITCH_EXTERNAL_IP.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin ferroswitch --bin fs_cli \
 && install -D -t /out target/release/ferroswitch target/release/fs_cli

FROM debian:bookworm-slim AS prompts
RUN apt-get update && apt-get install -y --no-install-recommends espeak-ng
COPY --from=build /out/ferroswitch /usr/bin/
RUN ferroswitch sounds --dir /out

FROM debian:bookworm-slim
RUN groupadd -r -g 499 ferroswitch && useradd -r -u 499 -g 499 -d /var/lib/ferroswitch ferroswitch \
 && install -d -o 499 -g 499 /var/lib/ferroswitch /var/log/ferroswitch /var/run/ferroswitch /var/cache/ferroswitch
COPY --from=build /out/ /usr/bin/
# Manifests and scripts that start `freeswitch` need no change.
RUN ln -s ferroswitch /usr/bin/freeswitch
COPY --from=prompts /out/ /usr/share/ferroswitch/sounds/
COPY conf/ /etc/ferroswitch/
USER ferroswitch
VOLUME ["/var/lib/ferroswitch", "/var/log/ferroswitch"]
EXPOSE 5060/udp 5060/tcp 5080/udp 5080/tcp 8021/tcp 16384-32768/udp
HEALTHCHECK --start-period=2s CMD fs_cli -t 2000 -p "${FERROSWITCH_EVENT_SOCKET_PASSWORD:-ClueCon}" -x status
STOPSIGNAL SIGTERM
ENTRYPOINT ["ferroswitch"]
CMD ["-nf"]
