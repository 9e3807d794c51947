// Command fill writes rows of about 200 bytes into a space of a running server,
// as devices do, and a third of them twice, so that the log is larger than the
// state and a new device is given that.
//
// With -sealed the space is a sealed one. A device of it follows until it has made a
// snapshot of all rows; the recovery code is printed.
//
//	go run ./bench/fill -url http://127.0.0.1:8787 -space fill -rows 1000000
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"

	"heddle.dev/heddle/sync/wire"
)

var (
	url   = flag.String("url", "", "the server's `address`")
	space = flag.String("space", "fill", "the space's `name`")
	rows  = flag.Int("rows", 1_000_000, "`number` of rows")

	sealed = flag.Bool("sealed", false, "found a sealed space, make a snapshot, and print a recovery code")
)

const part = 50_000 // rows of a transaction

func main() {
	flag.Parse()
	with := fill
	if *sealed {
		with = fillSealed
	}
	if err := with(); err != nil {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

func fill() error {
	counter := uint64(0)
	for _, n := range []int{*rows, *rows / 3} {
		for from := 0; from < n; from += part {
			counter++
			parts := wire.SplitBody(counter, body(from, min(n, from+part)).Marshal())
			for len(parts) > 0 {
				some := parts[:min(3, len(parts))]
				parts = parts[len(some):]
				if err := push(&wire.PushRequest{Client: wire.ClientID{9}, Parts: some}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func push(req *wire.PushRequest) error {
	res, err := http.Post(*url+"/v1/spaces/"+*space+"/push", wire.MediaType, bytes.NewReader(req.Marshal()))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %q", res.StatusCode, data)
	}
	return err
}

const words = "the shed of a loom opens and closes so that the weft may pass between its threads "

// body inserts rows from up to to: random keys, words in random order, a number.
func body(from, to int) *wire.Body {
	shape := &wire.Shape{Kind: wire.Insert, Table: "notes", Columns: []string{"body", "n"},
		Joins: []wire.Join{wire.JoinLast, wire.JoinLast}}
	b := &wire.Body{Shapes: []*wire.Shape{shape}, Schema: []wire.TableSchema{{Table: "notes", Key: []string{"id"},
		Columns: []wire.ColumnSchema{{Name: "body", Group: 1}, {Name: "n", Group: 1, Default: int64(0)}}}}}
	for i := from; i < to; i++ {
		id, text, n := row(i)
		b.Ops = append(b.Ops, wire.Op{Shape: shape, Key: []wire.Value{id}, Cells: []wire.Value{text, n}})
	}
	return b
}

func row(i int) (id, text string, n int64) {
	random := rand.New(rand.NewPCG(uint64(i), 1))
	id = fmt.Sprintf("%016x%016x", random.Uint64(), i)
	body := make([]byte, 0, 170)
	for len(body) < 160 {
		at := random.IntN(len(words) - 12)
		body = append(body, words[at:at+6+random.IntN(6)]...)
	}
	return id, string(body), int64(i % 100)
}
