// Package pgstore keeps spaces in PostgreSQL, for any number of servers at the same
// time. They are equal: there is no leader among them, and none keeps anything that
// another one needs.
//
// A commit is one transaction in one round trip. It begins with an UPDATE of the
// space's line that compares the head, which also has the commits of a space come one
// after the other. What Commit has returned for is as durable as the database's
// synchronous_commit says.
//
// The statements are of the part of SQL that PostgreSQL shares with databases that
// speak its protocol; LISTEN and NOTIFY alone are not, and Options.Hints takes their
// place.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/wire"
)

// Options say how a Store works.
type Options struct {
	// URL names the database, as in libpq: postgres://user@host:5432/name?sslmode=verify-full.
	// Several hosts with commas between are tried in turn, and the one that takes
	// writes is used. Beside libpq's parameters it takes those of package pgxpool, such as
	// pool_max_conns, and default_query_exec_mode=exec, for a pooler that keeps no
	// prepared statements.
	URL string
	// Hints tell other servers of commits. nil: LISTEN and NOTIFY do, on a connection
	// of its own. The Store closes them.
	Hints  logstore.Hints
	Logger *slog.Logger // nil logs nothing
}

const (
	// defaultConnections is how many connections a store has beside the one that listens.
	defaultConnections = 8
	connectWait        = 10 * time.Second
	// endWait is for what ends a use of a connection.
	endWait = 10 * time.Second
)

// settings are those of each connection. All statements look up, or go through, a
// part of an index in its order: the planner's other ideas come of the sizes that
// tables had at some moment. What of that is inevitable seems so dear to it then that
// it would be compiled, which takes a hundred times as long as to run it. A server that
// is cut off or frozen between two statements holds what it has locked for a minute at
// most.
var settings = map[string]string{
	"application_name": "heddle",
	"jit":              "off",
	"enable_seqscan":   "off", "enable_bitmapscan": "off", "enable_sort": "off",
	"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_material": "off",
	"idle_in_transaction_session_timeout": "60000",
	"tcp_keepalives_idle":                 "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4",
}

// Store keeps spaces in a database.
type Store struct {
	config  *pgx.ConnConfig // of connections beside the pool
	pool    *pgxpool.Pool
	hints   logstore.Hints
	log     *slog.Logger
	closing sync.Once
}

var _ logstore.Store = (*Store)(nil)

// IsURL reports whether a store's name is one of a database.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "postgres://") || strings.HasPrefix(name, "postgresql://")
}

// Open connects to a database, and makes or migrates the tables. The caller closes
// the Store.
func Open(ctx context.Context, o Options) (*Store, error) {
	const op = "pgstore: open"
	if !IsURL(o.URL) {
		return nil, errcode.New(errcode.BadParam, op, "the database's URL begins with postgres://")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	config, err := configOf(o.URL)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.BadParam, op)
	}
	s := &Store{config: config.ConnConfig.Copy(), hints: o.Hints, log: o.Logger}
	if err := s.prepare(ctx); err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, errcode.Wrap(err, errcode.Server, op)
	}
	if s.hints == nil {
		s.hints = notify(s.config, s.pool, s.log)
	}
	return s, nil
}

func configOf(name string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(name)
	if err != nil {
		return nil, err
	}
	_, query, _ := strings.Cut(name, "?")
	set, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	if !set.Has("pool_max_conns") {
		config.MaxConns = defaultConnections
	}
	c := config.ConnConfig
	if !set.Has("connect_timeout") {
		c.ConnectTimeout = connectWait
	}
	// A standby, or what was the primary, answers with an older past than what was
	// committed.
	c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	for name, value := range settings {
		if _, ok := c.RuntimeParams[name]; !ok {
			c.RuntimeParams[name] = value
		}
	}
	return config, nil
}

// prepare sees to the tables, on a connection of its own, and to what is promised of
// commits.
func (s *Store) prepare(ctx context.Context) (err error) {
	c, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	var commits, flushes string
	if err := c.QueryRow(ctx, `SELECT coalesce(current_setting('synchronous_commit', true), ''),
		coalesce(current_setting('fsync', true), '')`).Scan(&commits, &flushes); err != nil {
		return err
	}
	if commits == "off" {
		return errors.New("synchronous_commit is off: what is acknowledged would not be durable")
	}
	if flushes == "off" {
		s.log.Warn("the database runs with fsync = off: a crash of its machine may lose all of it")
	}
	return migrate(ctx, c)
}

// Where says which database it is, without secrets.
func (s *Store) Where() string {
	return fmt.Sprintf("postgres://%s:%d/%s", s.config.Host, s.config.Port, s.config.Database)
}

// Watch implements logstore.Store, as do the others of that interface.
func (s *Store) Watch(ctx context.Context, f func(logstore.Hint)) error { return s.hints.Watch(ctx, f) }

// Close ends what waits and closes the hints and the connections.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		err = s.hints.Close()
		s.pool.Close()
	})
	return err
}

// on runs f, which may run again, on a connection: on another one where that turns out
// to be closed, as all of them are after the database has restarted.
func (s *Store) on(ctx context.Context, f func(*pgx.Conn) error) error {
	for left := s.pool.Config().MaxConns; ; left-- {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return translate(ctx, err)
		}
		err = f(c.Conn())
		closed := c.Conn().IsClosed()
		c.Release() // of one that is in a transaction: closes it
		if err == nil || !closed || left <= 0 || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) Create(ctx context.Context, space string, epoch wire.Epoch) error {
	gone := false
	err := s.on(ctx, func(c *pgx.Conn) error {
		b := &pgx.Batch{}
		b.Queue(`INSERT INTO heddle.space(name, epoch) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, []byte(space),
			epoch[:])
		b.Queue(`SELECT gone FROM heddle.space WHERE name = $1`, []byte(space)).QueryRow(func(row pgx.Row) error {
			return row.Scan(&gone)
		})
		return translate(ctx, c.SendBatch(ctx, b).Close())
	})
	if err == nil && gone {
		return logstore.ErrGone
	}
	return err
}

func (s *Store) Read(ctx context.Context, space string, f func(logstore.View) error) error {
	return s.on(ctx, func(c *pgx.Conn) error {
		v, err := begin(ctx, c, space, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`, "")
		if err == nil {
			err = f(v)
		}
		s.rollback(ctx, c)
		return err
	})
}

// rollback ends a transaction, or the connection with it.
func (s *Store) rollback(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWait)
	defer cancel()
	if _, err := c.Exec(ctx, `ROLLBACK`); err != nil {
		s.log.Debug("a connection is closed, since its transaction did not end", "error", err)
	}
}

func (s *Store) Heads(ctx context.Context, spaces []string) ([]logstore.Head, error) {
	names, places := make([][]byte, len(spaces)), make(map[string][]int, len(spaces))
	for i, name := range spaces {
		names[i] = []byte(name)
		places[name] = append(places[name], i)
	}
	heads := make([]logstore.Head, len(spaces))
	return heads, s.on(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT name, epoch, seq, chain, kicks, told, gone FROM heddle.space WHERE name = ANY($1)`,
			names)
		if err != nil {
			return translate(ctx, err)
		}
		var name, epoch, chain []byte
		var seq, kicks, told int64
		var gone bool
		_, err = pgx.ForEachRow(rows, []any{&name, &epoch, &seq, &chain, &kicks, &told, &gone}, func() error {
			h := logstore.Head{Position: position(epoch, seq, chain), Kicks: uint64(kicks), Told: uint64(told), Gone: gone}
			for _, i := range places[string(name)] {
				heads[i] = h
			}
			return nil
		})
		return translate(ctx, err)
	})
}

func (s *Store) Spaces(ctx context.Context, after string, n int) (all []logstore.Info, err error) {
	err = s.on(ctx, func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT name, gone, epoch, seq, chain, rows, live, logged, horizon FROM heddle.space
			WHERE name > $1 ORDER BY name LIMIT $2`, []byte(after), n)
		if err != nil {
			return translate(ctx, err)
		}
		var name, epoch, chain []byte
		var seq, count, horizon int64
		var i logstore.Info
		all = nil
		_, err = pgx.ForEachRow(rows, []any{&name, &i.Gone, &epoch, &seq, &chain, &count, &i.Live, &i.Logged, &horizon},
			func() error {
				i.Space, i.Head, i.Rows, i.Horizon = string(name), position(epoch, seq, chain), uint64(count), uint64(horizon)
				all = append(all, i)
				return nil
			})
		return translate(ctx, err)
	})
	return all, err
}

func position(epoch []byte, seq int64, chain []byte) (p wire.Position) {
	copy(p.Epoch[:], epoch)
	copy(p.Chain[:], chain)
	p.Seq = uint64(seq)
	return p
}
