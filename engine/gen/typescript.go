package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// Generate returns the content of each generated file by its path.
func Generate(wasm string) (map[string][]byte, error) {
	m, err := readModel(wasm)
	if err != nil {
		return nil, err
	}
	api, err := linkAPI(m)
	if err != nil {
		return nil, err
	}
	callbacks, err := linkCallbacks(m)
	if err != nil {
		return nil, err
	}
	native, err := wazeroLink(m)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"engine/wazero/link/zlink.go":          native,
		"engine/link/zapi_js.go":               api,
		"engine/link/zcallbacks_js.go":         callbacks,
		"web/src/worker/engine-modules.gen.ts": typescript(m),
	}, nil
}

func names(list []fn) []string {
	var out []string
	for _, f := range list {
		out = append(out, f.name)
	}
	return out
}

// typescript writes what web/src/worker/engine.ts links with.
func typescript(m *model) []byte {
	var w bytes.Buffer
	w.WriteString(header)
	d := m.file.Dylink
	fmt.Fprintf(&w,
		"/** Identifies the border between Go and SQLite that these modules are for. */\nexport const abi = %d;\n\n", m.abi())
	fmt.Fprintf(&w, "/** The content of the module's dylink.0 section, in hexadecimal. */\nexport const dylink = %q;\n\n",
		fmt.Sprintf("%x", d.Raw))
	fmt.Fprintf(&w,
		"/** How many slots of the table the module's own functions take. */\nexport const tableSize = %d;\n\n", d.TableSize)
	list := func(name, doc string, items []string) {
		fmt.Fprintf(&w, "/** %s */\nexport const %s: readonly string[] =\n  (%q).split(\" \");\n\n", doc, name,
			strings.Join(items, " "))
	}
	list("exportNames", "SQLite's functions that Go calls, in the order of their slots.", names(m.exports))
	list("callbackNames", "Go's functions that SQLite calls with the connection's id.", names(m.callbacks))
	list("directNames", "The functions that SQLite imports as such.", m.direct)
	list("gotNames", "The functions that SQLite imports by their slot in its table.", m.got)
	module := func(name, doc string, code []byte) {
		fmt.Fprintf(&w, "/** %s, in base64. */\nexport const %s =\n  %q;\n", doc, name,
			base64.StdEncoding.EncodeToString(code))
	}
	module("trampolines", "The module of trampolines from Go to SQLite", trampolines(m))
	w.WriteString("\n")
	module("callbacks", "The module of callbacks from one SQLite to Go", callbackModule(m))
	return w.Bytes()
}
