package heddle

import (
	"context"

	"heddle.dev/heddle/internal/value"
)

// Live calls f with the result of a query: soon, and again after each commit
// that changes it, whether this program wrote it or another device. stop ends
// that; a call that has begun may go on.
//
// f is called by one goroutine at a time. It returns soon, may use the database
// and does not close it. It may keep the result but not change its rows, which
// later results share. If the query fails, f gets nil and the error; the query
// runs again after the next commit that concerns it.
func (db *DB) Live(ctx context.Context, f func(*Rows, error), sql string, args ...any) (stop func(), err error) {
	sub, err := db.live.Subscribe(ctx, sql, params(args), &sink{f: f})
	if err != nil {
		return nil, err
	}
	return sub.Stop, nil
}

// sink holds a live query's last result, which updates refer to.
type sink struct {
	f    func(*Rows, error)
	last Rows
}

func (s *sink) Result(u value.Update) {
	next := Rows{Columns: u.Columns, Values: make([][]any, 0, u.Total)}
	for _, r := range u.Runs {
		from := r.Rows
		if r.Copy {
			from = s.last.Values[r.From : r.From+r.N]
		}
		next.Values = append(next.Values, from...)
	}
	s.last = next
	s.f(&Rows{Columns: next.Columns, Values: append([][]any(nil), next.Values...)}, nil)
}

func (s *sink) Error(err error) { s.f(nil, err) }
