# The server as one static binary in an empty image.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What `trunkline version` prints, for the build has no .git:
# --build-arg VERSION="$(git describe --tags --always --dirty)"
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /trunkline ./cmd/server

FROM scratch
# For TLS to Postgres and to a JWKS URL.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /trunkline /trunkline
USER 65532:65532
EXPOSE 4000
# The image has no shell and no curl: the binary asks its own /readyz.
HEALTHCHECK --interval=3s --timeout=5s --start-period=60s CMD ["/trunkline", "healthcheck"]
ENTRYPOINT ["/trunkline"]
CMD ["serve"]
