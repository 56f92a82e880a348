# The image is the static binary and nothing else. Build the binaries first, one for each architecture:
#
#   CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -ldflags=-s -o bin/linux/amd64/salvor ./cmd/salvor
#   CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -trimpath -ldflags=-s -o bin/linux/arm64/salvor ./cmd/salvor
#   docker buildx build --platform linux/amd64,linux/arm64 -t IMAGE .
#
# BASE may be any image that has certificates of public authorities and a user 65532; --build-arg BASE=scratch works
# where object stores are reached with certificates of their own (ca.crt).
ARG BASE=gcr.io/distroless/static:nonroot
FROM ${BASE}
ARG TARGETOS=linux
ARG TARGETARCH=amd64
COPY bin/${TARGETOS}/${TARGETARCH}/salvor /salvor
USER 65532:65532
ENTRYPOINT ["/salvor"]
