package client

import (
	"io"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle/internal/errcode"
	"heddle/store"
	"heddle/sync/wire"
)

// MigrationHook makes what store.Options.MigrationHook takes: with it the
// migrations of a release and what sync makes of them are one transaction. A
// release that Open would refuse (HEDDLE_SYNC_SCHEMA) leaves the database as it
// was, for the release before and for a corrected one. cfg is what Open is given.
func MigrationHook(cfg Config) func(*sqlite3.Conn) (store.MigrationHook, error) {
	return func(raw *sqlite3.Conn) (store.MigrationHook, error) {
		if err := cfg.check(); err != nil {
			return nil, err
		}
		c := &Client{cfg: cfg, conn: conn{sqlite: raw}}
		c.cfg.complete()
		return &migration{c}, nil
	}
}

// migration follows the migrations of one file. Its client is not open: it
// lends what adapts the file to a schema.
type migration struct{ *Client }

// Done implements store.MigrationHook.
func (m *migration) Done(local []*store.Table) (err error) {
	defer m.conn.close()
	m.tables, err = m.cfg.resolve(func(name string) (*store.Table, bool) {
		for _, t := range local {
			if strings.EqualFold(t.Name, name) {
				return t, true
			}
		}
		return nil, false
	})
	if err != nil {
		return err
	}
	// Not minted: who the replica is depends on where the file is in the end.
	_, err = m.agree(&rows{conn: &m.conn, tables: m.tables}, local, nil)
	return err
}

// agree checks the schema, makes Heddle's tables where there are none, loads
// the state and brings what is kept to the schema.
func (c *Client) agree(r *rows, local []*store.Table, random io.Reader) (meta map[string]wire.Value, err error) {
	if err := checkSchema(r.conn, c.tables, c.cfg.IntegerKey); err != nil {
		return nil, err
	}
	if err := r.sqlite.Exec(schemaSQL); err != nil {
		return nil, sqlError(err, schemaSQL)
	}
	if err := addReason(r.conn); err != nil {
		return nil, err
	}
	if meta, err = loadMeta(r.conn); err != nil {
		return nil, err
	}
	if v, ok := meta[metaFormat]; ok && v != int64(formatVersion) {
		return nil, errcode.New(errcode.Unsupported, "sync: open", "a newer version of Heddle has written this database: update the app")
	}
	if v, ok := meta[metaSpace]; ok && v != c.cfg.Space {
		return nil, errcode.New(errcode.BadParam, "sync: open", "this database belongs to another space: open one of another name")
	}
	if err := setMeta(r.conn, metaFormat, formatVersion); err != nil {
		return nil, err
	}
	if err := setMeta(r.conn, metaSpace, c.cfg.Space); err != nil {
		return nil, err
	}
	if c.state, err = loadState(r.conn, random); err != nil {
		return nil, err
	}
	if err := r.loadOverflow(); err != nil {
		return nil, err
	}
	c.overflow = r.overflow
	if err := checkKeys(c.tables, c.state.schema); err != nil {
		return nil, err
	}
	return meta, c.adapt(r, meta, local)
}
