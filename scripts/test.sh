#!/usr/bin/env bash
# Everything that must hold: set-up, generated files, vet on every platform, lint, the
# tests under the race detector on both databases, and the built binary in a real browser.
# A step that fails does not keep the others from running; the end says which failed.
set -u -o pipefail
failed=()
step() { # name, command…
  local name=$1 begin=$SECONDS
  shift
  echo "── $name"
  if "$@"; then echo "   ok, $((SECONDS - begin)) s"; else
    echo "   FAILED, $((SECONDS - begin)) s"
    failed+=("$name")
  fi
}

vet() { go vet ./... && GOOS=windows GOARCH=amd64 go vet ./cmd/... ./internal/agent/... && GOOS=darwin GOARCH=arm64 go vet ./cmd/... ./internal/agent/...; }
format() { local f; f=$(gofmt -l cmd internal e2e 2>/dev/null); [ -z "$f" ] || { echo "not gofmt'd: $f"; return 1; }; }
generated() { # what is generated is as its sources say
  go tool templ generate -path internal/server/web >/dev/null 2>&1 && go generate ./internal/session && git diff --exit-code --stat -- '*_templ.go' docs/state-machine.md
}
modules() { go mod tidy -diff; } # go.mod names what is used, and nothing else
types() { (cd web && npm run --silent check); }
static() { CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/leasehold ./cmd/leasehold-sample ./internal/tools/ran; }
# What has one goroutine and much to do gains nothing from the race detector, which makes
# it ten times slower: these run by themselves.
single='TestEveryZone|TestFleet|TestExplore|TestEveryRuleIsNeeded|TestConformance/lists_'
# What passed is noted, so that docs/reference-coverage.md can be held to it.
notes=$(mktemp)
trap 'rm -f "$notes"' EXIT
tests() { go test -json -count=1 "$@" | bin/ran -notes "$notes"; }
explorer() {
  tests -timeout 15m -run "$single" ./internal/calendar ./internal/lease ./internal/session ./internal/store/... ./internal/control
}
# The pages take as long as half of the others together, so they come first.
race() {
  local pages=leasehold/internal/server/web
  tests -race -timeout 20m -skip "$single" $pages $(go list ./... | grep -vx -e leasehold/e2e -e $pages)
}
browser() { tests -timeout 15m ./e2e; }
covered() { bin/ran -notes "$notes" -check docs/reference-coverage.md; }

step "tools" scripts/tools.sh
step "pages' assets" make -s web
step "format" format
step "generated files" generated
step "modules" modules
step "types of the TypeScript" types
step "vet, on Linux, Windows and macOS" vet
step "lint" go tool staticcheck ./...
step "build" static
step "rules of leases and ways of finding rows, searched" explorer
step "tests, with the race detector, on both databases" race
step "end to end, in a browser" browser
step "every sentence of the reference is shown by tests that passed" covered

if [ ${#failed[@]} -gt 0 ]; then
  echo
  echo "Failed: ${failed[*]}"
  scripts/tools.sh || true
  exit 1
fi
echo
echo "All is well."
