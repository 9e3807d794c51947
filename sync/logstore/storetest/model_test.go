package storetest_test

import (
	"testing"

	"heddle.dev/heddle/sync/logstore/storetest"
)

func TestModel(t *testing.T) {
	storetest.Run(t, func(*testing.T) *storetest.Subject {
		return &storetest.Subject{Store: storetest.NewModel()}
	})
}
