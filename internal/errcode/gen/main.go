// Command gen writes errcode's constants as TypeScript: go run ./gen FILE.
package main

import (
	"fmt"
	"os"

	"heddle.dev/heddle/internal/errcode/gen/ts"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE (from internal/errcode)")
		os.Exit(2)
	}
	text, err := ts.Generate("errcode.go")
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}
