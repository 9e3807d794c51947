package store

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkBulk inserts 150,000 rows in one transaction, as the import of
// cities does: captured whole, announced only, and without keys to note.
func BenchmarkBulk(b *testing.B) {
	const rows = 150_000
	for name, synced := range map[string][]string{"synced": {"city"}, "local": nil} {
		for key, ddl := range map[string]string{
			"text":    `CREATE TABLE city(id TEXT PRIMARY KEY, name TEXT, country TEXT, lat REAL, lng REAL)`,
			"norowid": `CREATE TABLE city(id TEXT PRIMARY KEY, name TEXT, country TEXT, lat REAL, lng REAL) WITHOUT ROWID`,
		} {
			b.Run(name+"/"+key, func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					db := openTest(b, Options{Migrations: []string{ddl}, Synced: synced})
					n := 0
					db.SetRecorder(recorderFunc(func(_ *Tx, ch []Change) error { n = len(ch); return nil }))
					b.StartTimer()
					err := db.Update(context.Background(), Origin{Kind: Local}, func(tx *Tx) error {
						_, err := tx.Bulk(`INSERT INTO city VALUES(?, ?, ?, ?, ?)`, func(yield func([]Value) bool) {
							for i := range rows {
								if !yield([]Value{fmt.Sprintf("city-%06d", i), "Les Escaldes", "AD", 42.50729, 1.53414}) {
									return
								}
							}
						})
						return err
					})
					if err != nil || synced != nil && n != rows {
						b.Fatal(n, err)
					}
				}
				b.ReportMetric(rows/(b.Elapsed().Seconds()/float64(b.N)), "rows/s")
			})
		}
	}
}

// BenchmarkQuery_point looks one row up by its key.
func BenchmarkQuery_point(b *testing.B) {
	db := openTest(b, Options{Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v)`}})
	exec(b, db, `INSERT INTO t SELECT 'k' || value, value FROM `+series(10000))
	for b.Loop() {
		query(b, db, `SELECT v FROM t WHERE id = ?`, "k777")
	}
}

// BenchmarkUpdate_row is a durable commit of one row, of a table captured whole and of
// one that is not; and of one whose rows the commit carries.
func BenchmarkUpdate_row(b *testing.B) {
	for name, synced := range map[string][]string{"synced": {"t"}, "local": nil, "carried": nil} {
		b.Run(name, func(b *testing.B) {
			db := openTest(b, Options{Migrations: []string{`CREATE TABLE t(id TEXT PRIMARY KEY, v, w, x)`}, Synced: synced})
			db.NewFeed().CarryRows(name == "carried")
			exec(b, db, `INSERT INTO t SELECT 'k' || value, value, 'some text', 1.5 FROM `+series(10000))
			for i := 0; b.Loop(); i++ {
				exec(b, db, `UPDATE t SET v = ? WHERE id = 'k777'`, int64(-i))
			}
		})
	}
}
