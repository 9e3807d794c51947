package rpc

// OpenConfig is what a page's open() asks for, as the page encodes it for the
// worker that may have to lead:
//
//	u16 version, string name, string storage, list<string> migrations,
//	bool sync, then if sync: string url, string space, bool integer key,
//	bool token, list<string table, list<string column, string merge>>;
//	bool recover, list<stmt> seed
type OpenConfig struct {
	Name       string
	Storage    string // persistent or memory: what was asked for
	Migrations []string
	Sync       *SyncConfig // nil: none
	Seed       []Stmt      // the rows that a new database begins with
	Recover    bool        // begin anew beside a damaged file, without a server to get the rows from
}

// SyncConfig is the sync part of OpenConfig.
type SyncConfig struct {
	URL, Space string
	IntegerKey bool // INTEGER PRIMARY KEY is allowed on synced tables
	Token      bool // a page can be asked for a token
	Tables     []SyncTable
}

// SyncTable is a table that syncs, with the columns that do not join as "last".
type SyncTable struct {
	Name   string
	Merges []ColumnMerge
}

// ColumnMerge names how a column's values join: last, counter, max, min or set.
type ColumnMerge struct{ Column, Merge string }

// DecodeOpenConfig decodes a page's configuration.
func DecodeOpenConfig(message []byte) (OpenConfig, error) {
	r := reader{b: message}
	if v := r.u16(); r.err == nil && v != Version {
		r.fail("the page speaks version %d, this worker version %d", v, Version)
	}
	c := OpenConfig{Name: r.str(), Storage: r.str(), Migrations: r.strs()}
	if r.flag() {
		s := &SyncConfig{URL: r.str(), Space: r.str(), IntegerKey: r.flag(), Token: r.flag()}
		for range r.count(8) {
			t := SyncTable{Name: r.str()}
			for range r.count(8) {
				t.Merges = append(t.Merges, ColumnMerge{Column: r.str(), Merge: r.str()})
			}
			s.Tables = append(s.Tables, t)
		}
		c.Sync = s
	}
	c.Recover = r.flag()
	if list := r.stmts(); len(list) > 0 {
		c.Seed = list
	}
	if r.err == nil && c.Storage != "persistent" && c.Storage != "memory" {
		r.fail("no storage is called %q", c.Storage)
	}
	return c, r.err
}

// EncodeOpenConfig is DecodeOpenConfig's inverse.
func EncodeOpenConfig(c OpenConfig) []byte {
	var w writer
	w.u16(Version)
	w.str(c.Name)
	w.str(c.Storage)
	w.strs(c.Migrations)
	w.flag(c.Sync != nil)
	if s := c.Sync; s != nil {
		w.str(s.URL)
		w.str(s.Space)
		w.flag(s.IntegerKey)
		w.flag(s.Token)
		w.u32(uint32(len(s.Tables)))
		for _, t := range s.Tables {
			w.str(t.Name)
			w.u32(uint32(len(t.Merges)))
			for _, m := range t.Merges {
				w.str(m.Column)
				w.str(m.Merge)
			}
		}
	}
	w.flag(c.Recover)
	w.stmts(c.Seed)
	return w.b
}
