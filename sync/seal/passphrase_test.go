package seal_test

import (
	"context"
	"testing"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

// Nothing is computed beyond the bounds, and what is computed is a slot's key in one
// space alone.
func TestKDF_Key(t *testing.T) {
	for _, c := range []struct {
		time, memory uint64
		computed     bool
	}{
		{seal.LeastKDFTime, seal.LeastKDFMemory, true},
		{seal.MostKDFTime, seal.MostKDFMemory, true},
		{seal.LeastKDFTime - 1, seal.MostKDFMemory, false},
		{seal.MostKDFTime + 1, seal.LeastKDFMemory, false},
		{seal.MostKDFTime, seal.LeastKDFMemory - 1, false},
		{seal.LeastKDFTime, seal.MostKDFMemory + 1, false},
		{1<<32 + seal.LeastKDFTime, seal.LeastKDFMemory, false},
		{seal.LeastKDFTime, 1<<32 + seal.LeastKDFMemory, false},
		{},
	} {
		computed := false
		k := &seal.KDF{Time: c.time, Memory: c.memory, Salt: [16]byte{1}}
		_, err := k.Key(t.Context(), space, func(context.Context, *seal.KDF) (*seal.Key, error) {
			computed = true
			return &key, nil
		}, nil)
		if computed != c.computed || c.computed == (errcode.Of(err) == errcode.BadPassphrase) {
			t.Errorf("%d passes over %d KiB: computed %v, %v", c.time, c.memory, computed, err)
		}
	}
	k, err := seal.NewKDF(stream(1))
	must(t, err)
	stretch := func(context.Context, *seal.KDF) (*seal.Key, error) { return &key, nil }
	keys := map[seal.Key]bool{key: true, code.Key(space): true}
	other := seal.RecoveryCode{1}
	for _, name := range []string{space, space + "2"} {
		for _, code := range []*seal.RecoveryCode{nil, &code, &other, {}} {
			one, err := k.Key(t.Context(), name, stretch, code)
			must(t, err)
			keys[*one] = true
		}
	}
	if len(keys) != 10 {
		t.Errorf("10 keys of spaces, passphrases and codes are %d", len(keys))
	}
}

// The same text is the same key, however its characters are composed.
func TestStretch(t *testing.T) {
	kdf := &seal.KDF{Time: 1, Memory: 8, Salt: [16]byte{1}}
	keys := map[seal.Key]bool{}
	for _, text := range []string{"Z\u00fcrich", "Zu\u0308rich", "zu\u0308rich"} {
		k, err := native.Stretch(text)(t.Context(), kdf)
		must(t, err)
		keys[*k] = true
	}
	if len(keys) != 2 {
		t.Errorf("two texts give %d keys", len(keys))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := native.Stretch("a")(ctx, kdf); errcode.Of(err) != errcode.Aborted {
		t.Errorf("got %v", err)
	}
	for text, want := range map[string]string{"eleven char": errcode.BadPassphrase, "twelve chars": "",
		"u\u0308u\u0308u\u0308u\u0308u\u0308u\u0308": errcode.BadPassphrase} {
		if err := native.CheckPassphrase(text); errcode.Of(err) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzKDF: whatever stands in a slot, no more and no less is computed than the bounds allow.
func FuzzKDF(f *testing.F) {
	f.Add(uint64(3), uint64(64<<10), byte(1))
	f.Add(uint64(17), uint64(1<<22), byte(0))
	f.Fuzz(func(t *testing.T, time, memory uint64, salt byte) {
		s := slot(t, seal.SlotPassphrase+seal.SlotKind(salt%2))
		s.KDF = &seal.KDF{Time: time, Memory: memory, Salt: [16]byte{salt}}
		c := &seal.Change{Prev: seal.Hash{1}, Slots: []seal.Slot{s}}
		decoded, err := seal.UnmarshalChange(c.Marshal())
		if err != nil {
			return
		}
		_, _ = decoded.Slots[0].KDF.Key(t.Context(), space, func(_ context.Context, k *seal.KDF) (*seal.Key, error) {
			if k.Time < 2 || k.Time > 16 || k.Memory < 19_456 || k.Memory > 262_144 || *k != *s.KDF {
				t.Fatalf("computed with %+v", k)
			}
			return &key, nil
		}, nil)
	})
}
