package replica

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
	c := &conn{sqlite: raw}
	defer c.close()
	rows := 0
	err = c.query(`VALUES(1), (2), (3)`, nil, func(*sqlite3.Stmt) error {
		rows++
		for i := range 200 {
			if err := c.exec(fmt.Sprintf(`SELECT %d`, 200*rows+i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || rows != 3 {
		t.Errorf("got %d rows, %v", rows, err)
	}
}
