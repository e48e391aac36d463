# offsite. `make demo` shows what it does; `make test` installs what the tests need and runs all of them.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
BIN         := $(CURDIR)/.cache/bin
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
DIST        ?= dist
PKGS        ?= ./...
BENCH       ?= .
COUNT       ?= 6
# A download may hang without an error: it gets some minutes, and a second try.
FETCH       := timeout 600

# make takes a blank for the end of a name.
ifneq ($(words $(CURDIR)),1)
$(error the path of this checkout has a blank in it, "$(CURDIR)": move it to one without)
endif

export OFFSITE_TEST_BIN := $(BIN)

.PHONY: help build demo test lint servers packages release faults bench compare fuzz clean
help: ## what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

build: ## bin/offsite, a static binary
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/offsite ./cmd/offsite

# The time of the commit, so that the same tree gives the same bytes.
release: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
release: export NFPM := $(BIN)/nfpm
release: export MD2MAN := $(BIN)/go-md2man
release: $(BIN)/nfpm $(BIN)/go-md2man ## dist/: static programs, .deb, .rpm, bills of materials, SHA256SUMS (DIST, VERSION, ARCHES)
	packaging/release.sh '$(VERSION)' '$(DIST)'

demo: build ## a dump goes offsite and comes back, in a scratch directory
	./test/demo.sh bin/offsite

test: packages servers lint ## everything, race detector on; a skip is a failure
	go build -o $(BIN)/report ./test/report
	go test -race -timeout 30m -p 2 -json $(PKGS) | $(BIN)/report

lint: $(BIN)/staticcheck ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	go vet $(PKGS)
	$(BIN)/staticcheck $(PKGS)

servers: $(BIN)/age $(BIN)/minio $(BIN)/versitygw $(BIN)/toxiproxy $(BIN)/promtool $(BIN)/axe.min.js $(BIN)/nfpm $(BIN)/go-md2man ## stock age, the real servers that the tests talk to, Prometheus' own checks, axe-core, and what makes packages

# Each tool is a module of its own, so that none of its dependencies reaches go.mod or another tool.
$(BIN)/age: PKG := filippo.io/age/cmd/age
$(BIN)/minio: PKG := github.com/minio/minio
$(BIN)/versitygw: PKG := github.com/versity/versitygw/cmd/versitygw
$(BIN)/toxiproxy: PKG := github.com/Shopify/toxiproxy/v2/cmd/server
$(BIN)/staticcheck: PKG := honnef.co/go/tools/cmd/staticcheck
$(BIN)/benchstat: PKG := golang.org/x/perf/cmd/benchstat
$(BIN)/nfpm: PKG := github.com/goreleaser/nfpm/v2/cmd/nfpm
$(BIN)/go-md2man: PKG := github.com/cpuguy83/go-md2man/v2
$(BIN)/promtool: PKG := github.com/prometheus/prometheus/cmd/promtool
$(BIN)/promtool: TAGS := remove_all_sd
$(BIN)/%: test/tools/%/go.sum
	@mkdir -p $(BIN)
	cd test/tools/$* && fetch="$(FETCH) go list -deps -tags=$(TAGS) $(PKG)" && { $$fetch || $$fetch; } >/dev/null && go build -tags=$(TAGS) -o $@.new $(PKG)
	@mv $@.new $@

# axe-core looks for what keeps people from using the page. It is no part of the program: a browser of the tests loads it.
AXE     := 4.14.1
AXE_SUM := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
$(BIN)/axe.min.js: Makefile
	@mkdir -p $(BIN)/axe
	cd $(BIN)/axe && { $(FETCH) npm pack --silent axe-core@$(AXE) || $(FETCH) npm pack --silent axe-core@$(AXE); } >/dev/null && tar xzf axe-core-$(AXE).tgz package/axe.min.js
	echo "$(AXE_SUM)  $(BIN)/axe/package/axe.min.js" | sha256sum --check --quiet
	@mv $(BIN)/axe/package/axe.min.js $@ && touch $@ && rm -r $(BIN)/axe

packages: ## Debian's packages that the tests need, if they are missing
	@missing=; \
	test -x /usr/sbin/sshd || missing="$$missing openssh-server"; \
	command -v restic >/dev/null || missing="$$missing restic"; \
	command -v ssh-keygen >/dev/null || missing="$$missing openssh-client"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	test -x /usr/sbin/mariadbd || missing="$$missing mariadb-server"; \
	for tool in sqlite3 zstd bzip2 curl openssl dash busybox python3; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	command -v redis-cli >/dev/null || missing="$$missing redis-tools"; \
	command -v xz >/dev/null || missing="$$missing xz-utils"; \
	command -v systemd-nspawn >/dev/null || missing="$$missing systemd-container"; \
	command -v man >/dev/null || missing="$$missing man-db"; \
	for tool in rpm mandoc zsh fish; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	test -e /usr/share/bash-completion/bash_completion || missing="$$missing bash-completion"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	if test -n "$$missing"; then \
		test "$$(id -u)" = 0 || { echo "please install:$$missing"; exit 1; }; \
		(timeout 300 apt-get update || timeout 300 apt-get update) >/dev/null; \
		DEBIAN_FRONTEND=noninteractive $(FETCH) apt-get install -y --no-install-recommends $$missing >/dev/null; \
	fi

faults: servers packages ## hundreds of faults and kills on real servers (OFFSITE_FAULT_CYCLES, 300 unless set)
	OFFSITE_FAULT_CYCLES=$${OFFSITE_FAULT_CYCLES:-300} go test -count 1 -timeout 90m -v ./test/faults

bench: $(BIN)/benchstat ## benchmarks of the parts (BENCH, COUNT, PKGS), compared with those of the time before
	@mkdir -p .cache/bench && if test -e .cache/bench/new.txt; then mv .cache/bench/new.txt .cache/bench/old.txt; fi
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) -timeout 4h $(PKGS) | tee .cache/bench/new.txt
	$(BIN)/benchstat $$(ls .cache/bench/old.txt 2>/dev/null || true) .cache/bench/new.txt

compare: build servers ## offsite beside what is installed of its peers, on this machine: docs/performance-figures.{tsv,md,svg}
	go run ./bench -out docs/performance-figures

fuzz: ## each fuzz target for ten seconds
	@for pkg in $$(go list $(PKGS)); do \
		for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 10s $$pkg; \
		done; \
	done

clean:
	rm -rf bin dist .cache
