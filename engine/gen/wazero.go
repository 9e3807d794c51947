package main

import (
	"bytes"
	"fmt"
	"go/format"
	"strings"

	"heddle.dev/heddle/engine/internal/wasmfile"
)

// wazeroOverridden are the callbacks that engine/wazero/link answers itself.
var wazeroOverridden = map[string]bool{"go_block": true, "go_sleep": true, "go_busy_timeout": true}

// wazeroLink writes the stubs of engine/wazero/link.
func wazeroLink(m *model) ([]byte, error) {
	var w bytes.Buffer
	w.WriteString(header + "package sqlite3_wasm\n\nimport \"math\"\n\n")
	l := m.layout()
	fmt.Fprintf(&w, "const (\n\tstackLow = %d\n\tstackHigh = %d\n\tscratchTop = %d\n)\n\n", l.stackLow, l.stackHigh,
		l.scratch)
	fmt.Fprintf(&w, "// The modules env and GOT.func.\nconst (\n\tenvModule = %q\n\tgotModule = %q\n)\n\n", environment(m),
		gotModule(m))
	xenv(&w, m)

	w.WriteString("\nvar exportNames = [...]string{\n")
	for _, f := range m.exports {
		fmt.Fprintf(&w, "\t%q,\n", f.name)
	}
	w.WriteString("}\n\nconst (\n")
	for i, f := range m.exports {
		fmt.Fprintf(&w, "\tfn_%s = %d\n", f.name, i)
	}
	w.WriteString(")\n")
	for _, f := range m.exports {
		list, _ := params(f.typ.Params)
		var args []string
		for i, t := range f.typ.Params {
			args = append(args, toWord(t, fmt.Sprintf("v%d", i)))
		}
		name := "X" + f.name
		if written[f.name] {
			name = "raw_" + f.name
		}
		call := fmt.Sprintf("m.call(fn_%s%s)", f.name, comma(strings.Join(args, ", ")))
		if len(f.typ.Results) > 0 {
			call = "return " + fromWord(f.typ.Results[0], call)
		}
		fmt.Fprintf(&w, "\nfunc (m *Module) %s(%s) %s {\n\t%s\n}\n", name, list, result(f.typ.Results), call)
	}

	for _, f := range m.callbacks {
		list, names := params(f.typ.Params)
		call := "m.env.X" + f.name
		if wazeroOverridden[f.name] {
			call = "m.x" + f.name
		}
		fmt.Fprintf(&w, "\nfunc (m *Module) %s(%s)", f.name, list)
		body(&w, f, "\tm.depth++\n", call, names)
	}
	w.WriteString("\nvar hostFunctions = []hostFunction{\n")
	for _, f := range m.callbacks {
		writeHost(&w, f, "m."+f.name)
	}
	for _, f := range m.math {
		target := "goUTCOffset"
		if name := mathNames[f.name]; name != "" {
			target = "math." + name
		}
		writeHost(&w, f, target)
	}
	w.WriteString("}\n")
	return format.Source(w.Bytes())
}

func writeHost(w *bytes.Buffer, f fn, target string) {
	var args []string
	for i, t := range f.typ.Params {
		args = append(args, fromWord(t, fmt.Sprintf("s[%d]", i)))
	}
	call := fmt.Sprintf("%s(%s)", target, strings.Join(args, ", "))
	if len(f.typ.Results) > 0 {
		call = "s[0] = " + toWord(f.typ.Results[0], call)
	}
	fmt.Fprintf(w, "\t{%q, %q, %q, func(m *Module, s []uint64) { %s }},\n", f.name, f.typ.Params, f.typ.Results, call)
}

// toWord and fromWord convert between Go's types and wazero's 64-bit words.
func toWord(t byte, v string) string {
	switch t {
	case wasmfile.I32:
		return "uint64(uint32(" + v + "))"
	case wasmfile.I64:
		return "uint64(" + v + ")"
	}
	return "math.Float64bits(" + v + ")"
}

func fromWord(t byte, v string) string {
	switch t {
	case wasmfile.I32:
		return "int32(" + v + ")"
	case wasmfile.I64:
		return "int64(" + v + ")"
	}
	return "math.Float64frombits(" + v + ")"
}
