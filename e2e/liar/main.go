// Command liar is a server of sealed spaces that lies when it is told to, for the tests in browsers:
//
//	GET  /lies             the attacks on a log that a device begins to read, as JSON
//	POST /lie?attack=NAME  it does one of them from now on
//	POST /lie?up-to=SEQ    it says that the log ends there; ?void=SEQ: that it had refused the entry; ?removals: that
//	                       nobody was removed; ?snapshots: it alters them. Without any of them it is honest again.
//
// It prints its address.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"heddle.dev/heddle/internal/liar"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
)

func main() {
	data := flag.String("data", "", "a `directory` for the log")
	entries := flag.Int("entries", 0, "ask for a snapshot after so many; 0: as a server does")
	flag.Parse()
	if err := run(*data, *entries); err != nil {
		fmt.Fprintln(os.Stderr, "liar:", err)
		os.Exit(1)
	}
}

func run(data string, entries int) error {
	kept, err := sqlitestore.Open(sqlitestore.Options{Dir: data, Files: 1})
	if err != nil {
		return err
	}
	honest, err := server.New(server.Options{Store: kept, Dev: true,
		Limits: server.Limits{Heads: time.Nanosecond, SealedEntries: entries}}) // a device that is opened again tells at once
	if err != nil {
		return err
	}
	l := liar.New(honest)
	mux := http.NewServeMux()
	mux.Handle("/", l)
	mux.HandleFunc("GET /lies", func(w http.ResponseWriter, _ *http.Request) {
		type attack struct {
			Name string `json:"name"`
			Kind string `json:"kind"`
			Seq  uint64 `json:"seq"`
		}
		var all []attack
		for _, a := range liar.Attacks {
			all = append(all, attack{a.Name, string(a.Kind), a.Seq})
		}
		_ = json.NewEncoder(w).Encode(all)
	})
	mux.HandleFunc("POST /lie", func(w http.ResponseWriter, r *http.Request) {
		lie, err := lieOf(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		l.Set(lie)
		l.BreakSnapshots(r.URL.Query().Has("snapshots"))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, mux)
}

func lieOf(r *http.Request) (liar.Lie, error) {
	q := r.URL.Query()
	if name := q.Get("attack"); name != "" {
		at := slices.IndexFunc(liar.Attacks, func(a liar.Attack) bool { return a.Name == name })
		if at < 0 {
			return nil, fmt.Errorf("there is no attack %q", name)
		}
		return liar.Attacks[at].Lie, nil
	}
	if q.Has("removals") {
		return liar.HideRemovals, nil
	}
	for name, lie := range map[string]func(seq uint64) liar.Lie{"void": liar.Void,
		"up-to": func(seq uint64) liar.Lie { return liar.UpTo(int(seq)) }} {
		if q.Has(name) {
			seq, err := strconv.ParseUint(q.Get(name), 10, 31)
			return lie(seq), err
		}
	}
	return nil, nil
}
