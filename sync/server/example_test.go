package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore/sqlitestore"
	"heddle.dev/heddle/sync/server"
	"heddle.dev/heddle/sync/server/auth"
)

// A Go program embeds the server, with a rule of its own about what it accepts.
func Example() {
	dir, _ := os.MkdirTemp("", "heddle")
	defer os.RemoveAll(dir)
	key, err := auth.ParseKey([]byte("a secret of at least thirty-two bytes"))
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := sqlitestore.Open(sqlitestore.Options{Dir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	srv, err := server.New(server.Options{
		Store:  store,
		Tokens: key,
		Decide: func(_ context.Context, d *server.Decision) error {
			for _, row := range d.Rows {
				if row.Table == "invoices" && row.Before != nil && row.Before.Cells["author"] != d.Subject {
					return errcode.New("APP_NOT_YOURS", "app", "an invoice is changed by its author alone")
				}
			}
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()
	hs := httptest.NewServer(srv)
	defer hs.Close()
	res, err := http.Get(hs.URL + "/v1/spaces/family/digest")
	if err != nil {
		fmt.Println(err)
		return
	}
	res.Body.Close()
	fmt.Println(res.Status)
	// Output: 401 Unauthorized
}
