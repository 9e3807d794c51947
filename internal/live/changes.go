package live

import (
	"heddle.dev/heddle/internal/live/tap"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/internal/value"
)

// maxPending bounds the commits that wait for a query, one by one. Beyond it the query
// runs.
const maxPending = 32

// pending are the commits since a query's result that concern it.
type pending struct {
	tables []*store.TableCommit // of one table, all with their rows
	unfit  bool                 // there are others too: rows alone do not tell the result
}

func (p *pending) add(t *store.TableCommit) {
	if p.unfit {
		return
	}
	if !t.AllRows || len(p.tables) >= maxPending || len(p.tables) > 0 && p.tables[0].Of != t.Of {
		*p = pending{unfit: true}
		return
	}
	p.tables = append(p.tables, t)
}

// before puts the commits of another one in front.
func (p *pending) before(first pending) {
	later := p.tables
	first.unfit = first.unfit || p.unfit
	*p = first
	p.tables = p.tables[:len(p.tables):len(p.tables)]
	for _, t := range later {
		p.add(t)
	}
}

// net returns how the rows differ between before the first commit and after the last.
// It reports false if the commits do not follow on each other.
func (p *pending) net() (rows []store.RowChange, ok bool) {
	if len(p.tables) == 1 {
		return p.tables[0].Rows, true
	}
	at := map[string]int{}
	for _, t := range p.tables {
		for i := range t.Rows {
			r := &t.Rows[i]
			place := placeOf(t.Of, r)
			j, known := at[place]
			switch {
			case !known:
				at[place] = len(rows)
				rows = append(rows, *r)
			case (rows[j].New == nil) != (r.Old == nil) || !value.EqualAll(rows[j].New, r.Old):
				return nil, false
			default:
				rows[j].New = r.New
			}
		}
	}
	return rows, true
}

// placeOf names where a row is: by its rowid, or by its key.
func placeOf(t *store.Table, r *store.RowChange) string {
	row := r.New
	if row == nil {
		row = r.Old
	}
	if t.WithoutRowID {
		return string(value.AppendAll(nil, t.KeyOf(row, 0)))
	}
	return string(value.AppendInt(nil, r.RowID))
}

// images splits changed rows into what they were and what they are. Those that matter
// at no place are left out. It reports false if a row has not all columns.
func images(table *store.Table, rows []store.RowChange, places []*place) (old, new []tap.Image, ok bool) {
	for i := range rows {
		r := &rows[i]
		if r.Old != nil && len(r.Old) != len(table.Columns) || r.New != nil && len(r.New) != len(table.Columns) {
			return nil, nil, false
		}
		concerned := false
		for _, p := range places {
			concerned = concerned || p.table == table.Name && p.concerns(table, r)
		}
		if !concerned {
			continue
		}
		if r.Old != nil {
			old = append(old, tap.Image{RowID: r.RowID, Values: r.Old})
		}
		if r.New != nil {
			new = append(new, tap.Image{RowID: r.RowID, Values: r.New})
		}
	}
	return old, new, true
}
