#!/usr/bin/env bash
# The logic behind the Makefile. Each step looks whether it has work to do, so a
# second run is quick. `./build.sh help` lists the steps.
set -euo pipefail
cd "$(dirname "$0")"

CACHE=$PWD/.cache           # stamps, test output, the demo's data; git-ignored
ADDR=${ADDR:-127.0.0.1:8787}
DATA=${DATA:-$CACHE/data}
export GOFLAGS=${GOFLAGS:-}
# How long the tests of one Go package may take: it ends what hangs, on any machine.
GO_TIMEOUT=${GO_TIMEOUT:-90m}
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false

step() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
die() { printf 'build.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else die "needs root or sudo to run: $*"
  fi
}

# debian PACKAGE... installs Debian packages.
debian() {
  have apt-get || die "please install: $* (this script knows only apt-get)"
  step "install $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need() { have "$1" || die "$1 is missing; $2"; }

tools() {
  need go "see https://go.dev/dl (1.26 or newer)"
  need node "see https://nodejs.org (20 or newer)"
  need npm "it comes with Node.js"
}

# chromium prints the browser that the tests and the benchmark drive.
chromium() {
  local c
  for c in "${CHROMIUM:-}" /usr/bin/chromium /usr/bin/chromium-browser /usr/bin/google-chrome; do
    if [ -n "$c" ] && [ -x "$c" ]; then echo "$c"; return; fi
  done
  debian chromium >&2
  [ -x /usr/bin/chromium ] || die "chromium was installed, but is not at /usr/bin/chromium"
  echo /usr/bin/chromium
}

# firefox prints the other browser, which a part of the tests runs in as well.
firefox() {
  local f
  for f in "${FIREFOX:-}" /usr/bin/firefox-esr /usr/bin/firefox; do
    if [ -n "$f" ] && [ -x "$f" ]; then echo "$f"; return; fi
  done
  debian firefox-esr >&2
  [ -x /usr/bin/firefox-esr ] || die "firefox-esr was installed, but is not at /usr/bin/firefox-esr"
  echo /usr/bin/firefox-esr
}

# webkit makes sure of WebKitGTK's driver, and of the display that it needs.
webkit() {
  local missing=()
  have WebKitWebDriver || missing+=(webkit2gtk-driver)
  have Xvfb || missing+=(xvfb)
  [ ${#missing[@]} = 0 ] || debian "${missing[@]}"
}

# postgres makes sure of PostgreSQL's programs, with which tests run clusters of their own, and of a pooler.
postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb || debian postgresql
  have pgbouncer || [ -x /usr/sbin/pgbouncer ] || debian pgbouncer
}

# deployers makes sure of what deploy/ has configurations for: proxies, and a builder of images that needs no daemon.
deployers() {
  local missing=()
  [ -x /usr/sbin/nginx ] || have nginx || missing+=(nginx-light)
  have caddy || missing+=(caddy)
  have buildah || missing+=(buildah)
  [ ${#missing[@]} = 0 ] || debian "${missing[@]}"
}

# fresh STAMP FILE... is true when the stamp records the files as they are now.
sum() { sha256sum "$@" | sha256sum | cut -d' ' -f1; }
fresh() { local s=$CACHE/$1; shift; [ -f "$s" ] && [ "$(cat "$s")" = "$(sum "$@")" ]; }
stamp() { local s=$CACHE/$1; shift; mkdir -p "$CACHE"; sum "$@" >"$s"; }

npm_packages() {
  tools
  if [ -d node_modules ] && fresh npm package.json package-lock.json web/package.json; then return; fi
  step "npm ci"
  npm ci --no-audit --no-fund --loglevel=error
  stamp npm package.json package-lock.json web/package.json
}

# build leaves web/dist/ (the npm package's files), bin/heddle and web/demo/dist/.
# Go's build cache and esbuild make a second run a matter of a second or two.
build() {
  npm_packages
  step "bin/heddle"
  go build -trimpath -o bin/heddle ./cmd/heddle
  step "web/dist"
  npm run --silent build -w web
  step "web/demo/dist"
  node web/demo/build.mjs
}

run() {
  build
  mkdir -p "$DATA"
  local port=${ADDR##*:}
  echo
  echo "  Heddle's demo:    http://localhost:$port/"
  echo "  a third device:   http://127.0.0.1:$port/?devices=c   (another origin, so another storage)"
  echo "  your browser:     http://localhost:$port/check"
  echo "  stop with Ctrl-C; the server's data is in ${DATA#"$PWD"/}"
  echo
  exec bin/heddle serve --dev --addr "$ADDR" --data "$DATA" --static web/demo/dist
}

# run_cluster runs the demo behind two servers over one PostgreSQL, which goes with them.
run_cluster() {
  build
  postgres
  local port=${ADDR##*:}
  echo
  echo "  one device:       http://localhost:$port/        (a server)"
  echo "  others:           http://localhost:$((port + 1))/        (another server, over the same PostgreSQL)"
  echo "  stop with Ctrl-C; the data goes with it"
  echo
  go build -o "$CACHE/cluster" ./e2e/cluster
  exec "$CACHE/cluster" -port "$port" -static web/demo/dist
}

# internal/lint pins the linters, for Go a module and for TypeScript a package of its own:
# what uses Heddle does not depend on them.
linters() {
  local dir=internal/lint
  (cd $dir && go build -o "$CACHE/staticcheck" tool)
  if [ -d $dir/node_modules ] && fresh npm-lint $dir/package.json $dir/package-lock.json; then return; fi
  step "npm ci in $dir"
  (cd $dir && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
  stamp npm-lint $dir/package.json $dir/package-lock.json
}

# sources lists the files in git, and those that will be, that match the patterns; generated files are left out.
sources() {
  git ls-files -co --exclude-standard -- "$@" ':!:*/testdata/*' ':!:*package-lock.json' |
    xargs grep -LE '^(//|/\*|#) Code generated .* DO NOT EDIT' -- /dev/null
}

# width finds lines of more than 120 characters. A table in Markdown cannot be broken.
width() {
  step "no line over 120 columns"
  local long
  long=$(sources '*.go' '*.ts' '*.tsx' '*.svelte' '*.js' '*.mjs' '*.c' '*.h' '*.sh' '*.md' '*.css' '*.html' '*.yml' \
    '*.proto' Makefile |
    LC_ALL=C.UTF-8 xargs grep -nHE '^.{121}' | grep -vE '^[^:]*\.md:[0-9]+:\|') || true
  [ -z "$long" ] || die "$(wc -l <<<"$long") lines are too long:"$'\n'"$(cut -c1-100 <<<"$long")"
}

lint() {
  linters
  step "gofmt"
  local bad
  bad=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l)
  [ -z "$bad" ] || die "not formatted (make fmt): $bad"
  width
  step "staticcheck"
  local check=$CACHE/staticcheck m
  "$check" ./...
  for m in "${GO_MODULES[@]}"; do (cd "$m" && "$check" ./...); done
  # It does not know go:wasmexport, and takes what JavaScript calls for unused.
  export GOOS=js GOARCH=wasm
  "$check" ./jsbridge/... ./internal/opfs/...
  for m in wasm engine/link engine/linktest; do (cd "$m" && "$check" -checks inherit,-U1000 ./...); done
  unset GOOS GOARCH
  step "oxlint"
  PATH=$PWD/internal/lint/node_modules/.bin:$PATH oxlint --tsconfig tsconfig.json
}

# The modules for native programs beside the root's.
GO_MODULES=(engine/build engine/wazero examples/go-server examples/go-client)

test_go() {
  step "go vet and go test, native"
  go vet ./...
  go test -timeout "$GO_TIMEOUT" ./...
  local m
  for m in "${GO_MODULES[@]}"; do
    step "go vet and go test in $m"
    (cd "$m" && go vet ./... && go test -timeout "$GO_TIMEOUT" ./...)
  done
  if have cc; then
    step "go test -race of what is concurrent and quick"
    CGO_ENABLED=1 go test -race -timeout "$GO_TIMEOUT" ./broadcast/... ./internal/rpc/... ./internal/live/...
    CGO_ENABLED=1 go test -race -timeout "$GO_TIMEOUT" ./sync/logstore/pgstore -run '^TestStore$/^usual$'
  else
    echo "no C compiler: the race detector's run is left out"
  fi
}

# Tests that run as js/wasm under Node: of the border to JavaScript and what lies at it,
# then of the engine linked into Go.
test_js() {
  local goroot
  goroot=$(go env GOROOT)
  step "go vet and go test, js/wasm under Node"
  GOOS=js GOARCH=wasm go vet ./jsbridge/... ./internal/opfs/...
  (cd wasm && GOOS=js GOARCH=wasm go vet ./... && GOOS=js GOARCH=wasm go vet -tags=faults .)
  GOOS=js GOARCH=wasm go test -timeout "$GO_TIMEOUT" -exec="$goroot/lib/wasm/go_js_wasm_exec" -short \
    ./jsbridge/... ./internal/opfs ./internal/rpc/...
  step "go test of the linked engine, js/wasm under Node"
  (cd engine/linktest && GOOS=js GOARCH=wasm go vet ./... &&
    GOOS=js GOARCH=wasm go test -timeout "$GO_TIMEOUT" -exec="node $PWD/run.mjs" ./... &&
    GOOS=js GOARCH=wasm go test -timeout "$GO_TIMEOUT" -exec="node $PWD/run.mjs" -short \
      heddle.dev/heddle/internal/live/...)
}

# The artifact in git is the one that its checksum and its sources say.
engine_sum() {
  step "the engine's modules have their checksums"
  (cd engine && sha256sum --quiet -c *.wasm.sha256)
}

engine_tools() {
  npm_packages
  local missing=()
  have clang-19 || missing+=(clang-19)
  have wasm-ld-19 || missing+=(lld-19)
  [ ${#missing[@]} = 0 ] || debian "${missing[@]}"
}

engine() {
  engine_tools
  step "build engine/sqlite3.wasm"
  engine/build.sh
}

engine_check() {
  engine_tools
  step "rebuild the engine and compare"
  engine/build.sh --check
}

# own_packages DIR installs the packages of a folder with a package.json of its own:
# web/test/types, since two compilers cannot both be the workspace's tsc, examples, and
# e2e/migrating, with the databases that docs/MIGRATING.md comes from.
own_packages() {
  local dir=$1 mark=npm-${1//\//-}
  if [ -d "$dir/node_modules" ] && fresh "$mark" "$dir/package.json" "$dir/package-lock.json"; then return; fi
  step "npm ci in $dir"
  (cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
  stamp "$mark" "$dir/package.json" "$dir/package-lock.json"
}

test_ts() {
  step "tsc"
  npx --no-install tsc --noEmit -p tsconfig.json
  step "the package's types, with each compiler"
  own_packages web/test/types
  node web/test/types/check.mjs
  step "TypeScript unit tests"
  node --import tsx --test --test-timeout=600000 --test-reporter=dot \
    $(find web/test -name "*.test.ts" -not -path "*/node_modules/*")
  local app
  for app in vitest kanban; do
    own_packages examples/$app
    step "the tests of examples/$app, in vitest"
    (cd examples/$app && HEDDLE=$OLDPWD/bin/heddle npm test --silent)
  done
}

test_browser() {
  own_packages e2e/migrating
  step "the package whose engine can be broken"
  node web/build.mjs --faults
  node web/build.mjs --next
  step "Playwright"
  CHROMIUM=$(chromium) npx --no-install playwright test "$@"
}

# The packed package in the apps of e2e/apps/, with each bundler; APP names some of them. What npm installs for them is
# kept in ~/.cache/heddle-apps.
test_ecosystem() {
  build
  step "the package in small apps, with each bundler"
  local only=()
  read -ra only <<<"${APP:-}"
  CHROMIUM=$(chromium) node --import tsx e2e/apps/run.ts "$@" "${only[@]}"
}

# The part of the browser's tests that runs in Firefox as well.
test_firefox() {
  build
  FIREFOX=$(firefox) test_browser firefox.spec.ts "$@"
}

# What runs in WebKitGTK, which has no synchronous access handles: the engine, live queries and sync, in memory.
test_webkit() {
  build
  webkit
  WEBKIT=1 test_browser e2e/webkit/webkit.spec.ts "$@"
}

test() {
  build
  # Before the Go tests: the engine's skip what they would run in a browser where there is none.
  CHROMIUM=$(chromium)
  FIREFOX=$(firefox)
  webkit
  postgres
  deployers
  export CHROMIUM FIREFOX WEBKIT=1
  lint
  test_go
  test_js
  engine_sum
  if [ -n "${CI:-}" ]; then engine_check; fi
  test_ts
  test_browser
  step "the soak, briefly"
  node --import tsx e2e/soak/run.ts --duration 12s --seed 1
  # A few of the matrix, so that the whole stays well below 40 minutes also where every package has to be fetched.
  if [ -n "${CI:-}" ]; then APP=${APP:-html vite8 webpack esbuild} test_ecosystem; fi
  # The figures of a busy machine say little; that they can be taken, does.
  if [ -n "${CI:-}" ]; then CHROMIUM=$(chromium) node --import tsx bench/run.ts --once; fi
  step "all tests passed"
}

# half_a_core COMMAND... runs it in a control group that may use half a core.
half_a_core() {
  local dir name=heddle-loaded-$$ quota
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    dir=/sys/fs/cgroup/$name
    as_root mkdir "$dir" || die "no control group can be made"
    quota=$dir/cpu.max
    [ -f "$quota" ] || echo +cpu | as_root tee /sys/fs/cgroup/cgroup.subtree_control >/dev/null
    echo "50000 100000" | as_root tee "$quota" >/dev/null
  else
    dir=$(awk '$3 == "cgroup" && $4 ~ /(^|,)cpu(,|$)/ { print $2; exit }' /proc/mounts)
    [ -n "$dir" ] || die "there are no control groups for the processor"
    dir=$dir/$name
    as_root mkdir "$dir" || die "no control group can be made"
    echo 50000 | as_root tee "$dir/cpu.cfs_quota_us" >/dev/null
  fi
  local code=0
  (self=$BASHPID; echo "$self" | as_root tee "$dir/cgroup.procs" >/dev/null && exec "$@") || code=$?
  as_root rmdir "$dir" || true
  return $code
}

# test_loaded is the Go phase on a slow machine: with half a core, beside eight
# processes that do nothing but work. It takes hours where test_go takes minutes.
test_loaded() {
  step "the Go phase with half a core, beside 8 busy processes"
  local busy=()
  for _ in 1 2 3 4 5 6 7 8; do
    (while :; do :; done) &
    busy+=($!)
  done
  trap 'kill '"${busy[*]}" EXIT
  # Results of an earlier run say nothing here.
  GOFLAGS="$GOFLAGS -count=1" half_a_core ./build.sh test-go
}

# sim runs the simulation of sync for SEEDS seeds from SEED_BASE on, on all cores.
# One that fails is run again, with its trace, by -sim.trace SEED, and made smaller
# by -sim.shrink SEED: see sync/sim/README.md. Collecting
# garbage less often saves a fifth of the time; a few seeds need much memory.
sim() {
  tools
  mkdir -p "$CACHE"
  go test -c -o "$CACHE/sim.test" ./sync/sim
  (cd sync/sim && GOGC=400 GOMEMLIMIT=2GiB "$CACHE/sim.test" -test.run '^TestSimulation$' -test.timeout 0 \
    -sim.seeds "${SEEDS:-1000}" -sim.base "${SEED_BASE:-1}" "$@")
}

# seal_model runs WORLDS worlds of the model of sealed spaces from SEED_BASE on, and
# prints how often each attack and fault was met and what came of it. -model.seed SEED
# prints one world.
seal_model() {
  tools
  go test ./sync/seal/model -run '^TestWorlds$' -v -count=1 -timeout 0 \
    -model.worlds "${WORLDS:-100000}" -model.base "${SEED_BASE:-1}"
}

# fuzz runs each fuzzer for EXECS executions, one after the other; FUZZ is a
# pattern of names. What one finds is kept as a test in its package's testdata.
fuzz() {
  tools
  local file name
  grep -rnoE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]*' . | sort |
    while IFS=: read -r file _ name; do
      name=${name#func }
      [[ $name =~ ${FUZZ:-.} ]] || continue
      step "$(dirname "$file") $name, ${EXECS:=10000000} executions"
      go test "$(dirname "$file")" -run '^$' -fuzz "^$name\$" -fuzztime "${EXECS}x" \
        -fuzzminimizetime 100x -timeout 0 </dev/null
    done
}

# mutate sends PUSHES mutated pushes, made of SEED, to a server, and has devices
# follow what it decides; and tries MUTANTS of each format of sealed spaces,
# of those with signatures a hundredth.
mutate() {
  tools
  go test ./sync/client -run '^TestMutatedPushes$' -v -timeout 0 \
    -mutations "${PUSHES:-100000}" -mutations.seed "${SEED:-1}"
  go test ./sync/seal -run '^TestMutants$' -v -timeout 0 \
    -mutants "${MUTANTS:-1000000}" -mutants.seed "${SEED:-1}"
}

# live compares STEPS results of live queries with fresh runs, from SEED on.
live() {
  tools
  go test ./internal/live -run '^TestEngine_equalsFreshRuns$' -v -count=1 -timeout 0 \
    -steps "${STEPS:-1000000}" -seed "${SEED:-1}"
}

# live_mutants builds the test of live for one deliberate fault at a time, each of
# which it has to report within STEPS.
live_mutants() {
  tools
  (cd internal/live && go test -run '^TestMutants$' -v -count=1 -timeout 0 \
    -mutants "${STEPS:-2000000}" -seed "${SEED:-1}")
}

# bench_live measures what live queries cost. First what finds the queries that a commit
# concerns and makes their results, natively and in a worker of Chromium; then commits
# to live queries in whole pages.
bench_live() {
  build
  if [ $# = 0 ]; then
    go test ./internal/live -run '^$' -bench . -benchtime 200ms
    (cd engine/linktest && GOOS=js GOARCH=wasm CHROMIUM=$(chromium) go test -exec="node $PWD/chromium.mjs" \
      heddle.dev/heddle/internal/live -run '^$' -bench . -benchtime 200ms)
  fi
  CHROMIUM=$(chromium) node --import tsx bench/live.ts "$@"
}

# sync_soak runs e2e/sync/storm.spec.ts for DURATION (10m, 90s) with SEED.
sync_soak() {
  build
  local d=${DURATION:-10m} seconds
  case $d in
    *m) seconds=$((${d%m} * 60)) ;;
    *s) seconds=${d%s} ;;
    *) die "DURATION is a number of minutes or seconds, such as 10m or 90s" ;;
  esac
  STORM_SECONDS=$seconds STORM_SEED=${SEED:-1} test_browser e2e/sync/storm.spec.ts "$@"
}

# soak runs tabs whose leaders die, for DURATION, on the schedule of SEED; after
# them, IMAGES disk images of power losses.
soak() {
  build
  step "the package whose engine can be broken"
  node web/build.mjs --faults
  step "soak: ${DURATION:=30m}, seed ${SEED:=7}"
  CHROMIUM=$(chromium) node --import tsx e2e/soak/run.ts --duration "$DURATION" --seed "$SEED" \
    --images "${IMAGES:-100000}" "$@"
}

bench() {
  build
  CHROMIUM=$(chromium) node --import tsx bench/run.ts ${QUICK:+--quick} "$@"
}

# bench_server measures the sync server with devices that are nothing but open streams; with STORE=postgres it compares
# its own files and PostgreSQL.
bench_server() {
  tools
  [ "${STORE:-}" != postgres ] || postgres
  go build -trimpath -o bin/heddle ./cmd/heddle
  go run ./bench/server -devices "${DEVICES:-10000}" -spaces "${SPACES:-100}" ${STORE:+-store "$STORE"} "$@"
}

# bench_bootstrap measures sync in real browsers: a new device in a space of ROWS
# rows, and a commit on one device to the live query of another.
bench_bootstrap() {
  build
  CHROMIUM=$(chromium) node --import tsx bench/sync.ts --rows "${ROWS:-1000000}" "$@"
}

# bench_at_rest measures what encrypting a database's files costs.
bench_at_rest() {
  build
  CHROMIUM=$(chromium) node --import tsx bench/at-rest.ts ${QUICK:+--quick} "$@"
}

# bench_sealed measures what a sealed space costs, beside a plain one.
bench_sealed() {
  build
  CHROMIUM=$(chromium) node --import tsx bench/sealed.ts ${QUICK:+--quick} "$@"
}

# Heddle beside its peers. They have a package.json of their own: nothing else
# installs them.
peers_packages() {
  local dir=bench/peers
  if [ ! -d $dir/node_modules ] || ! fresh npm-peers $dir/package.json $dir/package-lock.json; then
    step "npm ci in $dir"
    (cd $dir && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    stamp npm-peers $dir/package.json $dir/package-lock.json
  fi
}

# The page of all, with Heddle's files of this build.
peers_pages() {
  build
  peers_packages
  step "the pages of the peers"
  (cd bench/peers && npx --no-install vite build --config vite.config.js)
  mkdir -p "$CACHE/peers/heddle"
  cp web/dist/*.js web/dist/*.wasm "$CACHE/peers/heddle/"
}

# bench_start measures from the import to the first answer; --against DIR beside another build's dist/.
bench_start() {
  peers_pages
  CHROMIUM=$(chromium) FIREFOX=$(firefox) node --import tsx bench/start/run.js ${QUICK:+--quick} "$@"
}

bench_peers() {
  peers_pages
  CHROMIUM=$(chromium) node bench/peers/run.js ${QUICK:+--quick} "$@"
}

# bench_peers_live measures live queries beside those of the peers that have any.
bench_peers_live() {
  peers_pages
  CHROMIUM=$(chromium) node --import tsx bench/peers/live.js ${QUICK:+--quick} "$@"
}

# profile says where the worker's time goes: WHAT=commits, lookups, bulk, push, pull or bootstrap, N times, in a KIND of
# database: plain, sealed or at-rest.
profile() {
  build
  CHROMIUM=$(chromium) node --import tsx bench/profile.ts
}

# The engine alone beside SQLite's own build.
bench_engine() {
  npm_packages
  peers_packages
  CHROMIUM=$(chromium) node bench/engine/run.js "$@"
}

# first_part finds out which functions a start enters, in a real page, and builds with them.
first_part() {
  build
  step "which functions of Go's program and of SQLite a start enters"
  CHROMIUM=$(chromium) node --import tsx e2e/start/profile.ts
  build
}

# release makes the archives of a release in DIST, for six platforms; VERSION names them.
release() {
  need go "see https://go.dev/dl (1.26 or newer)"
  go run ./deploy/release --to "${DIST:-dist}" --version "${VERSION:-dev}" "$@"
}

fmt() { git ls-files -co --exclude-standard '*.go' | xargs gofmt -w; }

clean() { rm -rf bin dist web/dist web/demo/dist bench/results test-results playwright-report "$CACHE"; }

help() {
  echo "usage: ./build.sh build|run|run-cluster|lint|test|test-firefox|test-webkit|test-loaded|release|fmt|clean"
  echo "       ./build.sh soak|sim|seal-model|fuzz|mutate|live|live-mutants|sync-soak"
  echo "       ./build.sh bench|bench-server|bench-bootstrap|bench-peers|bench-peers-live|bench-start|bench-live"
  echo "       ./build.sh bench-at-rest|bench-sealed|bench-engine|profile|engine|engine-check|first-part"
  echo "parts of test: test-go, test-js, test-ts, test-browser [playwright's arguments], engine-sum"
}

case "${1:-help}" in
  build | run | test | lint | soak | sim | fuzz | mutate | live | bench | profile | engine | release | fmt | clean | \
    help)
    cmd=${1:-help}
    shift || true
    "$cmd" "$@"
    ;;
  engine-check | engine-sum | test-go | test-js | test-ts) "${1//-/_}" ;;
  run-cluster) run_cluster ;;
  test-loaded) test_loaded ;;
  seal-model) seal_model ;;
  test-firefox) shift; test_firefox "$@" ;;
  test-webkit) shift; test_webkit "$@" ;;
  live-mutants) live_mutants ;;
  bench-live) shift; bench_live "$@" ;;
  bench-at-rest) shift; bench_at_rest "$@" ;;
  bench-sealed) shift; bench_sealed "$@" ;;
  first-part) first_part ;;
  test-ecosystem) shift; test_ecosystem "$@" ;;
  sync-soak) shift; sync_soak "$@" ;;
  bench-server) shift; bench_server "$@" ;;
  bench-bootstrap) shift; bench_bootstrap "$@" ;;
  bench-peers) shift; bench_peers "$@" ;;
  bench-peers-live) shift; bench_peers_live "$@" ;;
  bench-start) shift; bench_start "$@" ;;
  bench-engine) shift; bench_engine "$@" ;;
  test-browser) shift; npm_packages; test_browser "$@" ;;
  *) help; exit 2 ;;
esac
