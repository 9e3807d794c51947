package synced

import (
	"fmt"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// Statements make room for others, but not while they run.
func TestConn_runningStatementsStay(t *testing.T) {
	raw, err := sqlite3.Open(":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := &Conn{SQLite: raw}
	defer c.Close()
	rows := 0
	err = c.Query(`VALUES(1), (2), (3)`, nil, func(*sqlite3.Stmt) error {
		rows++
		for i := range 200 {
			if err := c.Exec(fmt.Sprintf(`SELECT %d`, 200*rows+i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || rows != 3 {
		t.Errorf("got %d rows, %v", rows, err)
	}
}
