package wire

import (
	"math"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// TestCompareKeys: the order is SQLite's.
func TestCompareKeys(t *testing.T) {
	db, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Exec(`CREATE TABLE t(a, b)`); err != nil {
		t.Fatal(err)
	}
	insert, _, err := db.Prepare(`INSERT INTO t VALUES (?, ?)`)
	if err != nil {
		t.Fatal(err)
	}
	defer insert.Close()
	values := []Value{nil, int64(0), int64(1), int64(-1), int64(127), int64(128), int64(math.MaxInt64),
		int64(math.MinInt64), int64(1<<53 + 1), 0.5, -0.5, float64(1 << 53), 9.3e18, -9.3e18, math.Inf(1), math.Inf(-1), "",
		"a", "b", "aa", "B", "\x00", string(make([]byte, 200)), []byte{}, []byte("a"), []byte{0xff}}
	for _, a := range values {
		for _, b := range []Value{int64(3), "x", a} {
			for i, v := range []Value{a, b} {
				var err error
				switch v := v.(type) {
				case nil:
					err = insert.BindNull(i + 1)
				case int64:
					err = insert.BindInt64(i+1, v)
				case float64:
					err = insert.BindFloat(i+1, v)
				case string:
					err = insert.BindText(i+1, v)
				case []byte:
					err = insert.BindBlob(i+1, v)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := insert.Exec(); err != nil {
				t.Fatal(err)
			}
		}
	}
	rows, _, err := db.Prepare(`SELECT a, b FROM t ORDER BY a, b`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var last []byte
	n := 0
	for ; rows.Step(); n++ {
		var key []Value
		for i := range 2 {
			switch rows.ColumnType(i) {
			case sqlite3.INTEGER:
				key = append(key, rows.ColumnInt64(i))
			case sqlite3.FLOAT:
				key = append(key, rows.ColumnFloat(i))
			case sqlite3.TEXT:
				key = append(key, rows.ColumnText(i))
			case sqlite3.BLOB:
				key = append(key, rows.ColumnBlob(i, []byte{}))
			default:
				key = append(key, nil)
			}
		}
		next := EncodeKey(key)
		if n > 0 {
			order, err := CompareKeys(last, next)
			back, err2 := CompareKeys(next, last)
			if err != nil || err2 != nil || order > 0 || back != -order || (order == 0) != (string(last) == string(next)) {
				t.Errorf("%x before %x: got %d and %d, %v, %v", last, next, order, back, err, err2)
			}
			a, aerr := ScanKey(nil, last)
			b, berr := ScanKey(nil, next)
			if scanned := CompareScanned(a, b); aerr != nil || berr != nil || scanned != order {
				t.Errorf("%x before %x: got %d scanned, %v, %v", last, next, scanned, aerr, berr)
			}
		}
		last = next
	}
	if n != 3*len(values) {
		t.Errorf("%d rows", n)
	}
	if _, err := CompareKeys([]byte{9}, []byte{1, 2}); err == nil {
		t.Error("what is no key is compared")
	}
}
