package fold

import (
	"math/rand/v2"
	"testing"

	"heddle.dev/heddle/sync/wire"
)

// Rows counted in as they lie encoded make the digest of the same rows decoded.
func TestRows_countsAsDigest(t *testing.T) {
	s := testSchema()
	rng := rand.New(rand.NewPCG(3, 4))
	some := []wire.Value{nil, int64(0), int64(7), 0.0, 2.0, 2.5, "", "never", "text", []byte{}, []byte("never")}
	for _, name := range []string{"notes", "tags"} {
		want, got := &Digest{}, &Digest{}
		rows := got.Rows(name, s)
		for range 2000 {
			cells := map[string]wire.Value{}
			for _, column := range []string{"due", "body", "done", "unknown"} {
				if rng.IntN(3) > 0 {
					cells[column] = some[rng.IntN(len(some))]
				}
			}
			key := []wire.Value{some[rng.IntN(len(some))], rng.Int64()}
			want.Add(name, key, &Row{cells}, s)
			scannedKey, err := wire.ScanKey(nil, wire.EncodeKey(key))
			if err != nil {
				t.Fatal(err)
			}
			scanned, err := wire.ScanRow(nil, wire.EncodeRow(cells))
			if err != nil {
				t.Fatal(err)
			}
			rows.Add(scannedKey, scanned)
		}
		if want.Sum() != got.Sum() {
			t.Errorf("%s: the digests differ", name)
		}
	}
}
