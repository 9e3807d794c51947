package tap

import (
	"errors"
	"strings"

	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"

	"github.com/ncruces/go-sqlite3"
)

// Probe is a statement over one table that takes each row by itself: its result over
// some rows is what these rows bring to its result over all of them.
type Probe struct {
	Table      string
	Distinct   bool        // equal rows of the result come once
	Limit      *Operand    // how many rows the result has at most; nil if it has all
	Bounded    bool        // there is a LIMIT, known or not
	Sorted     bool        // there is an ORDER BY
	Order      []Key       // what orders the result's rows, if that is known; see Sorted
	Aggregates []Aggregate // the result's columns; nil if the result is rows
	RowID      int         // the result's column that is the rowid, or -1

	t     *Tap
	sql   string
	scan  *scan
	table *store.MirrorTable
	s     *sqlite3.Stmt // nil unless it is one of those that are open
	none  []value.Value // the result over no rows
}

// Key is a result column by which rows are ordered.
type Key struct {
	Column    int
	Desc      bool
	Collation string
}

// Image is a row of a table.
type Image struct {
	RowID  int64
	Values []value.Value // one for each stored column
}

// probe compiles a statement to run over given rows. It returns why it cannot be.
func (t *Tap) probe(sql string) (_ *Probe, why string, err error) {
	scan := &scan{}
	defer t.planned(scan)()
	prog, err := t.explain(sql)
	if err != nil {
		return nil, "", err
	}
	l, why := prog.loop()
	if why != "" {
		return nil, why, nil
	}
	if scan.table == nil {
		return nil, "a table-valued function", nil
	}
	if scan.unstored {
		return nil, "a virtual generated column", nil
	}
	p := &Probe{Table: scan.table.Name, Distinct: prog.distinct(), RowID: -1, t: t, scan: scan, sql: sql,
		table: scan.table}
	limit, known := prog.limit()
	p.Limit, p.Bounded = limit, limit != nil || !known
	p.Sorted = prog.has("Sort", "SorterSort")
	if prog.has("AggStep") {
		var ok bool
		if p.Aggregates, ok = prog.aggregates(l); !ok || p.Bounded || p.Sorted {
			return nil, "an expression over aggregates", nil
		}
		return p, "", nil
	}
	if err := t.compile(&p.s, sql); err != nil {
		return nil, "", err
	}
	p.columns(scan.order)
	return p, "", nil
}

// columns finds the result's columns that are the row's place and its keys.
func (p *Probe) columns(order []sqlite3.IndexOrderBy) {
	origins := make([]string, p.s.ColumnCount())
	for i := range origins {
		origins[i] = p.s.ColumnOriginName(i)
	}
	find := func(name string) int {
		for i, origin := range origins {
			if origin != "" && strings.EqualFold(origin, name) {
				return i
			}
		}
		return -1
	}
	// rowid is its origin's name whatever the statement calls it.
	if !p.table.WithoutRowID && p.table.ColumnIndex("rowid") < 0 {
		p.RowID = find("rowid")
	}
	if p.RowID < 0 && p.table.RowIDKey {
		p.RowID = find(p.table.Columns[p.table.Key[0]].Name)
	}
	if !p.Sorted {
		return
	}
	for _, o := range order {
		k := Key{Column: p.RowID, Desc: o.Desc, Collation: "BINARY"}
		if column := int(int32(o.Column)); column >= 0 {
			c := &p.table.All[column]
			k.Column = find(c.Name)
			if c.Collation != "" {
				k.Collation = strings.ToUpper(c.Collation)
			}
		}
		if k.Column < 0 || !knows(k.Collation) {
			p.Order = nil
			return
		}
		p.Order = append(p.Order, k)
	}
}

// errParams means that the statement would not run with these parameters.
var errParams = errors.New("tap: the parameters are not the statement's")

var errStale = errors.New("tap: the probe is another tap's")

// Run returns the statement's result over rows of its table. A tap of another schema
// fails.
func (p *Probe) Run(t *Tap, params value.Params, rows []Image) (result [][]value.Value, err error) {
	if t != p.t {
		return nil, errStale
	}
	p.scan.rows = rows
	defer func() { p.scan.rows = nil }()
	defer t.planned(p.scan)()
	if err := t.compile(&p.s, p.sql); err != nil {
		return nil, err
	}
	defer p.s.Reset()
	if err := bind(p.s, params); err != nil {
		return nil, err
	}
	for p.s.Step() {
		row := make([]value.Value, p.s.ColumnCount())
		if err := store.Scan(p.s, row); err != nil {
			return nil, err
		}
		result = append(result, row)
	}
	return result, p.s.Err()
}

// bind sets every parameter of a statement.
func bind(s *sqlite3.Stmt, params value.Params) error {
	for i := 1; i <= s.BindCount(); i++ {
		v, ok := Operand{Param: i, Name: s.BindName(i)}.given(params)
		if !ok {
			return errParams
		}
		if err := store.BindValue(s, i, v); err != nil {
			return err
		}
	}
	return nil
}

// None returns the result of aggregates over no rows, and nil of others.
func (p *Probe) None(t *Tap, params value.Params) ([]value.Value, error) {
	if p.none == nil && p.Aggregates != nil {
		rows, err := p.Run(t, params, nil)
		if err != nil || len(rows) != 1 {
			return nil, err
		}
		p.none = rows[0]
	}
	return p.none, nil
}

// Rows returns how many rows the result has at most; -1 if there is no bound. It
// reports false if that is not known.
func (p *Probe) Rows(params value.Params) (n int64, ok bool) {
	if !p.Bounded {
		return -1, true
	}
	if p.Limit == nil {
		return 0, false
	}
	v := p.Limit.Value
	if p.Limit.Param > 0 {
		if v, ok = p.Limit.given(params); !ok {
			return 0, false
		}
	}
	n, ok = v.(int64)
	return n, ok
}

// scan plans a scan of all rows, which tests nothing itself.
type scan struct {
	table    *store.MirrorTable
	order    []sqlite3.IndexOrderBy
	unstored bool // it reads a virtual generated column

	rows []Image
}

func (p *scan) best(v *vtab, info *sqlite3.IndexInfo) {
	p.table, p.order = v.table, nil
	if info.Distinct() == 0 {
		p.order = info.OrderBy
	}
	p.unstored = p.unstored || v.unstored(info)
	info.EstimatedRows, info.EstimatedCost = 64, 64
}

func (p *scan) begin(c *cursor, _ string, _ []sqlite3.Value) error {
	c.rows = p.rows
	return nil
}

// Open begins a scan of the rows that a probe runs over.
func (v *vtab) Open() (sqlite3.VTabCursor, error) { return &cursor{v: v}, nil }

// cursor stands on one of the rows.
type cursor struct {
	v      *vtab
	rows   []Image
	all    bool // they have all columns, not only the stored ones
	at     int
	stands func(*cursor) // is told of each row that it stands on; nil if nobody is
}

func (c *cursor) Filter(_ int, idx string, args ...sqlite3.Value) error {
	c.at, c.all, c.stands = 0, false, nil
	if c.v.t.plan == nil {
		return sqlite3.MISUSE
	}
	if err := c.v.t.plan.begin(c, idx, args); err != nil {
		return err
	}
	c.tell()
	return nil
}

func (c *cursor) Next() error {
	c.at++
	c.tell()
	return nil
}

func (c *cursor) tell() {
	if c.stands != nil && !c.EOF() {
		c.stands(c)
	}
}

func (c *cursor) EOF() bool { return c.at >= len(c.rows) }

func (c *cursor) RowID() (int64, error) { return c.rows[c.at].RowID, nil }

var errUnknown = errors.New("tap: a value is not known")

func (c *cursor) Column(ctx sqlite3.Context, n int) error {
	row := c.rows[c.at].Values
	if !c.all {
		n = c.v.table.All[n].Stored
	}
	if n < 0 || n >= len(row) {
		return errUnknown
	}
	switch v := row[n].(type) {
	case nil:
		ctx.ResultNull()
	case int64:
		ctx.ResultInt64(v)
	case float64:
		ctx.ResultFloat(v)
	case string:
		ctx.ResultText(v)
	case []byte:
		if len(v) == 0 {
			ctx.ResultZeroBlob(0)
		} else {
			ctx.ResultBlob(v)
		}
	default:
		return errUnknown
	}
	return nil
}
