// Package synced is the synced tables of a database as this app's version
// declares them: what a space requires of them (schema_check.go, triggers.go),
// how a row is read and written whole (table.go), what a column makes of a value
// (affinity.go), what its merge makes of a write (merge.go), and what refuses a
// row (violation.go). Its Conn keeps the statements that are used again.
//
// It knows nothing of the log's progress: package replica does. Tested by
// conn_test.go, and in package replica by schema_check_test.go, merge_test.go
// and conflict_test.go.
package synced
