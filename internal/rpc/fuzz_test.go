package rpc_test

import (
	"reflect"
	"testing"

	"heddle.dev/heddle/internal/rpc"
	"heddle.dev/heddle/internal/rpc/rpctest"
)

func FuzzDecodeRequest(f *testing.F) {
	for _, q := range requestVectors {
		f.Add(rpctest.EncodeRequest(q))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		q, err := rpc.DecodeRequest(message)
		if err != nil {
			return
		}
		for row := range q.Rows.All() {
			_ = row
		}
		again, err := rpc.DecodeRequest(rpctest.EncodeRequest(q))
		if err != nil || rpctest.EncodeRequest(again) == nil || !sameRequest(q, again) {
			t.Errorf("got %+v, %v, want %+v", again, err, q)
		}
	})
}

// sameRequest compares by bytes: NaN is no equal to itself.
func sameRequest(a, b rpc.Request) bool {
	return string(rpctest.EncodeRequest(a)) == string(rpctest.EncodeRequest(b))
}

func FuzzDecodeMessage(f *testing.F) {
	for _, b := range replyVectors() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		m, err := rpctest.DecodeMessage(message)
		if err != nil {
			return
		}
		_ = m.Payload.Err()
		_, _ = m.Payload.Results()
		_, _ = m.Payload.Welcome()
		_, _ = m.Payload.Live()
		_, _ = m.Payload.Transaction()
		_, _ = m.Payload.Transactions()
		_, _ = m.Payload.Keys()
		_, _ = m.Payload.Conflict()
		_, _ = m.Payload.QuarantinedRows()
		_, rows, err := m.Payload.Rows()
		for _, row := range rows {
			if err == nil && len(row) != len(rows[0]) {
				t.Errorf("rows of %d and %d columns", len(row), len(rows[0]))
			}
		}
	})
}

func FuzzDecodeOpenConfig(f *testing.F) {
	for _, c := range configVectors {
		f.Add(rpctest.EncodeOpenConfig(c))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		c, err := rpc.DecodeOpenConfig(message)
		if err != nil {
			return
		}
		again, err := rpc.DecodeOpenConfig(rpctest.EncodeOpenConfig(c))
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("got %+v, %v, want %+v", again, err, c)
		}
	})
}
