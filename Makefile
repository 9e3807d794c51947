# Help text and calls into build.sh, where the logic lives.
.DEFAULT_GOAL := help
TARGETS = build run lint test test-firefox test-webkit test-ecosystem test-loaded soak sim seal-model fuzz mutate live \
  live-mutants sync-soak bench bench-server bench-bootstrap bench-peers bench-peers-live bench-start bench-live \
  bench-at-rest bench-sealed bench-engine profile engine engine-check first-part release fmt clean run-cluster
.PHONY: help $(TARGETS)

help:
	@echo "Heddle: SQLite in the browser, in many tabs, the same on every device"
	@echo
	@echo "  make run           set up, build, start the server and print the demo's address"
	@echo "  make run-cluster   the same with two servers over one PostgreSQL, which is started and removed"
	@echo "  make test          set up, build and run every test: Go, js/wasm, TypeScript, Chromium, Firefox, WebKitGTK"
	@echo "  make lint          gofmt, staticcheck, oxlint, and no line over 120 columns; a part of make test"
	@echo "  make test-firefox  the part of the tests that runs in Firefox as well"
	@echo "  make test-webkit   the part that runs in WebKitGTK as well: databases in memory"
	@echo "  make test-ecosystem  the packed package with each bundler, in the apps of e2e/apps/: APP=\"vite7 next\""
	@echo "  make test-loaded   the Go tests with half a core, beside 8 busy processes: none may fail because it is slow"
	@echo "  make build         leave the npm package's files in web/dist/ and the server in bin/heddle"
	@echo "  make soak          tabs whose leaders die, and images of power losses: DURATION=30m, SEED=7, IMAGES=100000"
	@echo "  make sim           simulate devices and server with faults: SEEDS=1000 seeds from SEED_BASE=1"
	@echo "  make seal-model    sealed spaces as a model, with a server that attacks: WORLDS=100000 from SEED_BASE=1"
	@echo "  make fuzz          run each fuzzer: EXECS=10000000 executions, FUZZ=a pattern of names"
	@echo "  make mutate        send PUSHES=100000 mutated pushes to a server, SEED=1; devices follow it;"
	@echo "                     and try MUTANTS=1000000 of each format of sealed spaces, of signed ones a hundredth"
	@echo "  make live          compare STEPS=1000000 results of live queries with fresh runs, from SEED=1 on"
	@echo "  make live-mutants  build that comparison with one deliberate fault at a time: each has to be reported"
	@echo "  make sync-soak     three browsers, two Go programs, a server and faults: DURATION=10m, SEED=1"
	@echo "  make bench         measure this build in a real Chromium; prints a table (QUICK=1: fewer runs)"
	@echo "  make bench-server  measure the sync server: pushes, and DEVICES=10000 held open in SPACES=100;"
	@echo "                     STORE=postgres: pushes over files and PostgreSQL in turns, and two servers over that"
	@echo "  make bench-bootstrap  measure sync in Chromium: a new device and ROWS=1000000 rows, a commit to another"
	@echo "  make bench-peers   measure it beside the other databases for browsers (QUICK=1: one round)"
	@echo "  make bench-peers-live  live queries beside those of the peers that have any"
	@echo "  make bench-start   measure a start alone, by steps, also through a slow line, beside peers (QUICK=1)"
	@echo "  make bench-live    measure what live queries cost: natively, in a worker, and in pages"
	@echo "  make bench-at-rest  measure what encrypting a database's files costs (QUICK=1: fewer rounds)"
	@echo "  make bench-sealed  measure what a sealed space costs beside a plain one (QUICK=1: fewer rounds)"
	@echo "  make profile       where the worker's time goes: WHAT=commits, lookups, bulk, push, pull or bootstrap, N=3000"
	@echo "  make bench-engine  measure engine/sqlite3.wasm alone beside SQLite's own build for browsers"
	@echo "  make engine        build engine/sqlite3.wasm from its pinned sources"
	@echo "  make engine-check  build it beside the checked-in one and compare the bytes"
	@echo "  make first-part    find out which functions a start enters: wasm/first.txt and engine/first.txt"
	@echo "  make release       the archives of a release for six platforms, in DIST=dist: VERSION=1.0.0"
	@echo "  make fmt           format Go sources"
	@echo "  make clean         remove what the other targets made"
	@echo
	@echo "Set up means: Debian's chromium and, for the tests, firefox-esr, webkit2gtk-driver, xvfb, postgresql,"
	@echo "pgbouncer, nginx, caddy and buildah where there are none, and npm packages if the lock file changed."
	@echo "ADDR=127.0.0.1:8787 and DATA=.cache/data choose where the server of 'make run' listens and keeps its data."

$(TARGETS):
	@./build.sh $@
