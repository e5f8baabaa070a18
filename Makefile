# `make help` lists the targets. What CI runs (.ci/run) are targets of this file.

GO ?= go
FUZZTIME ?= 60s
DURATION ?= 10m
BASE ?= HEAD
GOLANGCI_LINT_VERSION := v2.15.0
SQLC_VERSION := v1.31.1

tools := $(CURDIR)/bin/tools
golangci_lint := $(tools)/golangci-lint-$(GOLANGCI_LINT_VERSION)

.DEFAULT_GOAL := help
.PHONY: help run build clean deps test test-go test-golden test-cluster test-js check-history check-presence check-jobs fuzz lint generate sqlc-diff compose-config compose-check

help: ## print this
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run
run: build ## start the demo, with a Postgres of its own unless DATABASE_URL is set (ARGS="--port 4001" adds flags)
	@exec bin/trunkline dev $(ARGS)

build: ## build bin/trunkline
	@command -v $(GO) >/dev/null || { echo "Go $$(sed -n 's/^go //p' go.mod) or newer is needed: https://go.dev/dl/" >&2; exit 1; }
	$(GO) build -o bin/trunkline ./cmd/server

clean: ## remove what make has built
	rm -rf bin test/js/node_modules test/js/artifacts

##@ Test
test: deps test-go test-golden test-cluster test-js ## install what the tests need and run all of them

deps: ## install what the tests need beside Go, where it is missing (Debian; elsewhere says what to install)
	@scripts/install-deps

test-go: ## Go tests of the packages, with the race detector
	$(GO) test -race -timeout 10m $$($(GO) list ./... | grep -v -e /test/golden -e /test/cluster)

test-golden: ## replay the transcripts recorded from Phoenix
	$(GO) test -race -timeout 10m ./test/golden/...

# Alone, because it measures; -race in GOFLAGS reaches the servers that it builds.
test-cluster: ## server processes whose peers, database and network fail
	GOFLAGS="$$($(GO) env GOFLAGS) -race" $(GO) test -timeout 15m ./test/cluster

check-history: ## break servers, links and Postgres for DURATION (10m) and check that durable topics kept their promise
	$(GO) run ./test/history/check -duration $(DURATION)

check-presence: DURATION = 3m
check-presence: test/js/node_modules ## break servers, a link and Postgres for DURATION (3m) and check that 5,000 present users stay in step
	$(GO) run ./test/presence/check -duration $(DURATION)

check-jobs: DURATION = 60s
check-jobs: test/js/node_modules ## kill workers and servers for DURATION (60s) and check that jobs answer once, and how fast
	$(GO) run ./test/jobs/check -duration $(DURATION)

test/js/node_modules: test/js/package-lock.json
	cd test/js && npm ci
	touch $@

test-js: ## phoenix.js in Node, and the demo in headless Chromium
	cd test/js && npm ci && npm test

fuzz: ## run every fuzz target for FUZZTIME each (60s)
	scripts/fuzz $(FUZZTIME)

##@ Measure
.PHONY: bench bench-compare bench-scale bench-smoke

bench: ## measure everything beside its floors (8 min) and rewrite the table of docs/performance.md
	$(GO) run ./bench run --table docs/performance.md

bench-compare: ## SCENARIOS of the revision BASE and of the working tree in turns (BASE=main SCENARIOS="fan-out rooms")
	$(GO) run ./bench compare --base $(BASE) $(SCENARIOS)

bench-smoke: ## all scenarios, tiny: whether everything arrives, not how fast
	$(GO) run ./bench run --smoke

bench-scale: ## what costs grow with, at three sizes each (4 min), for docs/scale.md
	$(GO) run ./bench scale

##@ Check
lint: $(golangci_lint) ## go vet and golangci-lint
	$(GO) vet ./...
	$(golangci_lint) run

$(golangci_lint):
	GOBIN=$(tools) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(tools)/golangci-lint $@

sqlc-diff: ## check that the generated queries are up to date
	CGO_ENABLED=0 $(GO) run github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC_VERSION) diff

generate: ## generate the queries (internal/dbsqlc) from db/
	$(GO) generate ./...

compose-config: ## check docker-compose.yml (needs no engine)
	scripts/compose -f docker-compose.yml config -q

compose-check: ## start docker-compose.yml, chat through both nodes, remove it (see scripts/compose-check)
	scripts/compose-check
