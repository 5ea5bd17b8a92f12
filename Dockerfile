# Drawbridge in front of a broker elsewhere: mount /etc/drawbridge/certs, or the whole of /etc/drawbridge.
# docker build -t drawbridge . && docker run -p 8883:8883 -v "$PWD/certs:/etc/drawbridge/certs:ro" drawbridge
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev make pkg-config libuv1-dev libssl-dev libsqlite3-dev libwslay-dev uthash-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN make -j"$(nproc)" PREFIX=/usr build/drawbridge && strip build/drawbridge

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libssl3 libsqlite3-0 libuv1 libwslay1 \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt
COPY --from=build /source/build/drawbridge /usr/sbin/drawbridge
COPY etc/container.conf /etc/drawbridge/drawbridge.conf
# No account of this number exists, so nothing on the host or in the image belongs to it.
USER 10001:10001
EXPOSE 8883
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/usr/sbin/drawbridge", "healthcheck", "127.0.0.1:9883"]
ENTRYPOINT ["/usr/sbin/drawbridge"]
CMD ["-c", "/etc/drawbridge/drawbridge.conf"]
