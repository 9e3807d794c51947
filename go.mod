module heddle.dev/heddle

go 1.26.0

toolchain go1.26.8

require (
	github.com/golang-jwt/jwt/v5 v5.3.1 // sync/server, cmd/heddle: tokens
	github.com/golang/snappy v1.0.0 // sync/seal: Snappy's block format
	github.com/google/uuid v1.6.0 // store: uuid7()
	github.com/hack-pad/safejs v0.1.1 // jsbridge: JavaScript without panics
	github.com/jackc/pgx/v5 v5.13.0 // sync/logstore/pgstore: PostgreSQL
	github.com/nats-io/nats-server/v2 v2.15.3 // sync/logstore/natshints/natstest: tests alone
	github.com/nats-io/nats.go v1.55.0 // sync/logstore/natshints: hints between servers
	github.com/ncruces/go-sqlite3 v0.36.0 // store, opfs, sync/logstore/sqlitestore: SQLite (v0.37.0 needs an engine module that was not published where it can be had)
	github.com/prometheus/client_golang v1.25.0 // sync/server/metrics, cmd/heddle: /metrics
	go.opentelemetry.io/otel v1.47.0 // sync/server/traces, cmd/heddle: traces
	go.opentelemetry.io/otel/sdk v1.47.0 // cmd/heddle: which spans are kept, and in which batches they are sent
	go.opentelemetry.io/otel/trace v1.47.0 // sync/server/traces
	golang.org/x/crypto v0.58.0 // sync/wire, sync/fold: BLAKE2b; sync/seal: XChaCha20-Poly1305, sync/seal/native: Argon2id
	golang.org/x/text v0.43.0 // sync/seal/native: passphrases in NFC
	google.golang.org/protobuf v1.36.12 // sync/wire: protowire alone, which needs no reflection
	lukechampine.com/adiantum v1.1.1 // opfs/atrest: mode and hash of the cipher of files
)

require (
	github.com/antithesishq/antithesis-sdk-go v0.9.0-default-no-op // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/puddle/v2 v2.2.3 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/nats-io/jwt/v2 v2.8.3 // indirect
	github.com/nats-io/nkeys v0.4.17 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/ncruces/go-sqlite3-wasm/v6 v6.4.35401 // indirect
	github.com/ncruces/julianday v1.0.0 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/log v1.47.0 // indirect
	go.opentelemetry.io/otel/metric v1.47.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)
