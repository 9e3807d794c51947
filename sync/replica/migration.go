package replica

import (
	"io"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/wire"
)

// MigrationHook makes what store.Options.MigrationHook takes: with it the
// migrations of a release and what sync makes of them are one transaction. A
// release that Open would refuse (HEDDLE_SYNC_SCHEMA) leaves the database as it
// was, for the release before and for a corrected one. cfg is what Open is given.
func MigrationHook(cfg *Config) func(*sqlite3.Conn) (store.MigrationHook, error) {
	return func(raw *sqlite3.Conn) (store.MigrationHook, error) {
		if err := cfg.Check(); err != nil {
			return nil, err
		}
		rep := &Replica{cfg: *cfg, conn: conn{sqlite: raw}}
		m := &migration{Replica: rep, kept: map[string]*keptTable{}}
		return m, m.begin()
	}
}

// migration follows the migrations of one file. Its replica is not open: it
// lends what adapts the file to a schema.
type migration struct {
	*Replica
	before map[string]wire.TableSchema // what was synced, by the name in lower case
	kept   map[string]*keptTable       // of those, by the name
}

// begin finds what was synced before.
func (m *migration) begin() error {
	defer m.conn.close()
	synced := false
	m.fresh = true
	const tables = `SELECT name = 'heddle_meta', name LIKE 'heddle\_%' ESCAPE '\' FROM sqlite_schema WHERE type = 'table'`
	err := m.conn.query(tables, nil, func(s *sqlite3.Stmt) error {
		synced = synced || s.ColumnBool(0)
		m.fresh = m.fresh && s.ColumnBool(1)
		return nil
	})
	if err != nil || !synced {
		return err
	}
	meta, err := loadMeta(&m.conn)
	if err != nil {
		return err
	}
	known, err := readKnown(meta[metaTables])
	m.before = map[string]wire.TableSchema{}
	for name, t := range known {
		m.before[strings.ToLower(name)] = t
	}
	return err
}

// Touch implements store.MigrationHook.
func (m *migration) Touch(name string) (kept bool, err error) {
	t, ok := m.before[strings.ToLower(name)]
	if !ok {
		return false, nil
	}
	defer m.conn.close()
	r := &rows{conn: &m.conn}
	m.kept[t.Table], err = r.keep(t, len(m.kept))
	return true, err
}

// Without implements store.MigrationHook.
func (m *migration) Without(table string, run func() error) error {
	defer m.conn.close()
	return (&rows{conn: &m.conn}).without(table, run)
}

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
	r := &rows{conn: &m.conn, tables: m.tables}
	// Not minted: who the replica is depends on where the file is in the end.
	if _, err = m.agree(r, local, m.kept, nil); err != nil {
		return err
	}
	m.conn.close()
	for _, k := range m.kept {
		if err := m.conn.exec("DROP TABLE " + k.name); err != nil {
			return err
		}
	}
	version, err := schemaVersion(r.conn)
	if err != nil {
		return err
	}
	if err := setMeta(r.conn, metaTried, version); err != nil {
		return err
	}
	number, err := r.migrations()
	if err != nil {
		return err
	}
	return setMeta(r.conn, metaMigrated, number)
}

// migrations is how many migrations the file has had.
func (r *rows) migrations() (number int64, err error) {
	err = r.query(`SELECT count(*) FROM heddle_migration`, nil, func(s *sqlite3.Stmt) error {
		number = s.ColumnInt64(0)
		return nil
	})
	return number, err
}

// agree checks the schema, makes Heddle's tables where there are none, loads
// the state and brings what is kept to the schema. Tables in kept get their rows
// back first.
func (rep *Replica) agree(
	r *rows, local []*store.Table, kept map[string]*keptTable, random io.Reader,
) (meta map[string]wire.Value, err error) {
	if err := checkSchema(r.conn, rep.tables, rep.cfg.IntegerKey); err != nil {
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
	if v, ok := meta[metaSpace]; ok && v != rep.cfg.Space {
		return nil, errcode.New(errcode.BadParam, "sync: open", "this database belongs to another space: open one of another name")
	}
	if err := setMeta(r.conn, metaFormat, formatVersion); err != nil {
		return nil, err
	}
	if err := setMeta(r.conn, metaSpace, rep.cfg.Space); err != nil {
		return nil, err
	}
	if rep.state, err = loadState(r.conn, random); err != nil {
		return nil, err
	}
	if err := r.loadOverflow(); err != nil {
		return nil, err
	}
	rep.overflow = r.overflow
	before, err := readKnown(meta[metaTables])
	if err != nil {
		return nil, err
	}
	if err := checkKeys(rep.tables, before, rep.state.schema); err != nil {
		return nil, err
	}
	r.tables = undisputed(rep.tables, rep.state.schema)
	return meta, rep.adapt(r, meta, before, local, kept)
}
