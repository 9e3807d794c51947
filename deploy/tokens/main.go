// A backend that gives tokens to users who have signed in: go run . key.pem
package main

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"heddle.dev/heddle/sync/server/auth"
)

// userOf says who has signed in: your sessions say so. This one believes everybody.
func userOf(r *http.Request) string {
	c, err := r.Cookie("user")
	if err != nil {
		return ""
	}
	return c.Value
}

func main() {
	pem, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	key, err := auth.ParseKey(pem)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		user := userOf(r)
		if user == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		token, err := key.Mint(auth.Grant{Subject: user, Expires: time.Now().Add(15 * time.Minute),
			Spaces: map[string]auth.Access{"user-" + user: auth.ReadWrite, "news": auth.Read}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		io.WriteString(w, token)
	})
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "3000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s/token\n", l.Addr())
	log.Fatal(http.Serve(l, nil))
}
