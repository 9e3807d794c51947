package main

import (
	"slices"
	"strings"
)

// compileFlags keep to what the browsers of today have had for years: no
// extended constant expressions, tail calls, SIMD, threads or reference types.
// -Os is as fast as -O2 here, or faster, by make bench-engine, and takes
// a fifth off the download.
var compileFlags = strings.Fields(`
	--target=wasm32 -ffreestanding -nostdlib -std=c23 -g0 -Os
	-fPIC -fvisibility=hidden
	-mmutable-globals -mnontrapping-fptoint -msign-ext
	-mno-extended-const -mno-tail-call -mno-simd128 -mno-reference-types -mno-multivalue
	-Wall -Wextra -Wno-unused-parameter -Wno-unused-function -Werror
	-I. -Ilibc
	-DNDEBUG
	-D_HAVE_SQLITE_CONFIG_H
	-DSQLITE_CUSTOM_INCLUDE=heddle_opt.h`)

// units are what is compiled, with what only that unit gets. Copies of unknown
// length are memory.copy where bulk memory is on, which costs 5 to 30 % of the
// engine's time: see csrc/memory.c.
var units = map[string]string{"main": "-mno-bulk-memory", "memory_bulk": "-mbulk-memory"}

// simdSteps make simd.wasm, which alone has SIMD. It has no stack: its memory is Go's.
var simdSteps = [][]string{
	append(simdCompile, "adiantum.c", "-o", "adiantum.o"),
	append(simdCompile, "box.c", "-o", "box.o"),
	strings.Fields(`wasm-ld-19 --no-entry --import-memory --gc-sections --strip-all -O2
		adiantum.o box.o -o linked-simd.wasm`),
	strings.Fields(`wasm-opt linked-simd.wasm -o simd.wasm --mvp-features --enable-simd -O3
		--strip-producers --strip-target-features --strip-debug`),
}

var simdCompile = slices.Clip(strings.Fields(`
	clang-19 --target=wasm32 -ffreestanding -nostdlib -std=c23 -g0 -O3 -msimd128 -Wall -Wextra -Werror -c`))

func linkCommand(exports []string) []string {
	cmd := strings.Fields(`wasm-ld-19 --experimental-pic -shared --import-memory
		--import-undefined --no-entry --gc-sections --strip-all -O2`)
	for _, name := range exports {
		cmd = append(cmd, "--export="+name)
	}
	return append(cmd, "main.o", "memory_bulk.o", "-o", "linked.wasm")
}

// optimizeFlags add the check of the shadow stack, which lies in Go's heap and
// so would overflow silently. Inlining is left to the browser: see inlining.go.
var optimizeFlags = strings.Fields(`linked.wasm -o sqlite3.wasm
	--mvp-features --enable-mutable-globals --enable-nontrapping-float-to-int
	--enable-sign-ext --enable-bulk-memory --enable-bulk-memory-opt
	-O2 --always-inline-max-function-size=0 --one-caller-inline-max-function-size=0
	--stack-check
	--strip-producers --strip-target-features --strip-debug`)
