package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"heddle.dev/heddle"
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
func drive(ctx context.Context, db *heddle.DB, in *bufio.Reader, out io.Writer) error {
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
		r, err := perform(ctx, db, &cmd)
		if err != nil {
			r = reply{Error: heddle.Code(err), Message: err.Error()}
		}
		if err := answers.Encode(r); err != nil {
			return err
		}
	}
}

func perform(ctx context.Context, db *heddle.DB, cmd *command) (r reply, err error) {
	switch cmd.Do {
	case "batch":
		err = db.Transaction(ctx, func(tx *heddle.Tx) error {
			for _, s := range cmd.Statements {
				if _, err := tx.Exec(s.SQL, integers(s.Params)...); err != nil {
					return err
				}
			}
			return nil
		})
	case "query":
		s := cmd.Statements[0]
		var rows *heddle.Rows
		rows, err = db.Query(ctx, s.SQL, integers(s.Params)...)
		r.Rows = rows.Values
	case "now":
		limited, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		err = db.Sync().Now(limited)
	case "status":
		st := db.Sync().Status()
		seq, digest, e := db.Sync().Digest(ctx)
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
