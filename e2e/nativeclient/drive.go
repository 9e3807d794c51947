package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/ncruces/go-sqlite3"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/internal/store"
	"heddle.dev/heddle/sync/client"
)

// command is a line on standard input of a client that is driven. Each is
// answered by a line on standard output.
type command struct {
	Do         string      `json:"do"` // "batch", "query", "now", "status"
	Statements []statement `json:"statements"`
}

type statement struct {
	SQL    string `json:"sql"`
	Params []any  `json:"params"`
}

type reply struct {
	Error   string  `json:"error,omitempty"` // its code
	Message string  `json:"message,omitempty"`
	Rows    [][]any `json:"rows,omitempty"`
	State   string  `json:"state,omitempty"`
	Seq     uint64  `json:"seq"`
	Pending int     `json:"pending"`
	Digest  string  `json:"digest,omitempty"`
}

// drive does what it is told until its input ends, while sync runs.
func drive(ctx context.Context, db *store.DB, c *client.Client, in *bufio.Reader, out io.Writer) error {
	answers := json.NewEncoder(out)
	if err := answers.Encode(reply{State: "ready"}); err != nil {
		return err
	}
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var cmd command
		if err := json.Unmarshal(line, &cmd); err != nil {
			return fmt.Errorf("read a command: %w", err)
		}
		r, err := perform(ctx, db, c, &cmd)
		if err != nil {
			r = reply{Error: errcode.Of(err), Message: err.Error()}
		}
		if err := answers.Encode(r); err != nil {
			return err
		}
	}
}

func perform(ctx context.Context, db *store.DB, c *client.Client, cmd *command) (r reply, err error) {
	switch cmd.Do {
	case "batch":
		err = db.Update(ctx, store.Origin{Kind: store.Local}, func(tx *store.Tx) error {
			for _, s := range cmd.Statements {
				if _, err := tx.Exec(s.SQL, store.Args(integers(s.Params)...)); err != nil {
					return err
				}
			}
			return nil
		})
	case "query":
		s := cmd.Statements[0]
		err = db.Query(ctx, s.SQL, store.Args(integers(s.Params)...), nil, func(stmt *sqlite3.Stmt) error {
			row := make([]any, stmt.ColumnCount())
			if err := store.Scan(stmt, row); err != nil {
				return err
			}
			r.Rows = append(r.Rows, row)
			return nil
		})
	case "now":
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		err = c.Now(limited)
	case "status":
		st := c.Status()
		seq, digest, e := c.Digest(ctx)
		r, err = reply{State: string(st.State), Seq: seq, Pending: st.Pending, Digest: hex.EncodeToString(digest[:])}, e
	default:
		err = fmt.Errorf("there is no command %q", cmd.Do)
	}
	return r, err
}

// integers takes the numbers of JSON for the integers that they are here.
func integers(params []any) []any {
	for i, v := range params {
		if f, ok := v.(float64); ok {
			params[i] = int64(f)
		}
	}
	return params
}
