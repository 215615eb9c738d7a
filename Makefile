# make demo   the main job on the embedded database, in one command
# make test   everything, with all set-up; what CI runs
# make check  the quick part of it
# make bench  figures, beside this machine's limits

.PHONY: all demo test check bench web generate build

all: build

build: web
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/leasehold ./cmd/leasehold-sample

demo: build
	@scripts/tools.sh Xvnc openbox xterm bwrap slirp4netns nft || echo "Without them the demo has no streamed apps."
	bin/leasehold demo

test:
	scripts/test.sh

check:
	gofmt -l cmd internal | tee /dev/stderr | wc -l | grep -qx 0
	go vet ./...
	go test -short -skip 'TestExplore|TestEveryRuleIsNeeded' ./internal/calendar ./internal/fold ./internal/lease ./internal/session ./internal/catalog ./internal/directory ./internal/wire ./internal/invalid ./internal/auth ./internal/control ./internal/store/... ./internal/repotest

# The browser's bundle; see internal/tools/webbuild.
web: internal/server/web/dist/manifest.json

internal/server/web/dist/manifest.json: web/node_modules/.package-lock.json $(shell find web/src -type f) $(wildcard internal/tools/webbuild/*.go)
	go run ./internal/tools/webbuild

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

generate:
	go tool templ generate -path internal/server/web
	go generate ./internal/session

bench: build
	scripts/tools.sh
	go run ./internal/tools/bench
