package conformance

// What native go-sqlite3 has and engine/sqlite3.wasm has not: the extensions of
// SQLite's ext/misc that the glue compiles in, whose C sources are in no Go
// module. A test on either side checks that this is exact.
var (
	AbsentFunctions = []string{
		"decimal", "decimal_add", "decimal_cmp", "decimal_exp", "decimal_mul", "decimal_pow2", "decimal_sub", "decimal_sum",
		"ieee754", "ieee754_exponent", "ieee754_from_blob", "ieee754_from_int", "ieee754_inc", "ieee754_mantissa",
		"ieee754_to_blob", "ieee754_to_int",
		"regexp", "regexpi",
	}
	AbsentModules    = []string{"generate_series"}
	AbsentCollations = []string{"decimal", "uint"}
)
