package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
)

// Codes of PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
const (
	divisionByZero       = "22012"
	uniqueViolation      = "23505"
	readOnly             = "25006"
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	duplicateSchema      = "42P06"
	duplicateTable       = "42P07"
	lockNotAvailable     = "55P03"
	dataCorrupted        = "XX001"
	indexCorrupted       = "XX002"
)

// codeOf returns the code of an error that PostgreSQL has answered with, where the
// connection goes on: then nothing of the transaction has happened. After an error
// that ends the connection that is not known.
func codeOf(err error) string {
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Severity != "ERROR" && e.SeverityUnlocalized != "ERROR" {
		return ""
	}
	return e.Code
}

// again reports whether a transaction was undone because of others at the same time.
func again(err error) bool {
	code := codeOf(err)
	return code == serializationFailure || code == deadlockDetected
}

// translate gives an error of PostgreSQL, or of the way to it, the meaning that logstore
// has for it.
func translate(ctx context.Context, err error) error {
	var coded *errcode.Error
	switch {
	case err == nil, errors.As(err, &coded), errors.Is(err, logstore.ErrMoved), errors.Is(err, logstore.ErrNotNew):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) { // the network's
		return fmt.Errorf("%w: %w", logstore.ErrUnavailable, err)
	}
	switch e.Code {
	case dataCorrupted, indexCorrupted:
		return &errcode.Error{Code: errcode.Damaged, Op: "pgstore", Err: err}
	case serializationFailure, deadlockDetected, lockNotAvailable, readOnly:
		return fmt.Errorf("%w: %w", logstore.ErrUnavailable, err)
	}
	switch e.Code[:2] {
	case "08", "53", "57", "58": // connection, resources, an operator, the system
		return fmt.Errorf("%w: %w", logstore.ErrUnavailable, err)
	}
	return fmt.Errorf("pgstore: %w", err)
}
