// Package native runs the cases of package conformance on native go-sqlite3,
// and keeps their results for the other engines in testdata/native.txt.
package native
