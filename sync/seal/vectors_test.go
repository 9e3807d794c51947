package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"heddle.dev/heddle/sync/seal"
	"heddle.dev/heddle/sync/seal/native"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors are one of each format, in bytes, for any implementation. All come of the
// keys in the file: who has them, and follows the specification, opens each.
type vectors struct {
	Space     string            `json:"space"`
	Random    string            `json:"random"`
	Anchor    string            `json:"anchor"`
	Place     map[string]any    `json:"place"`
	Key       string            `json:"key"`
	Devices   []map[string]any  `json:"devices"`
	Hashes    map[string]string `json:"hashes"`
	Sealed    []sealedVector    `json:"sealed"`
	Batch     []sealedVector    `json:"batch"`
	Change    changeVector      `json:"change"`
	Head      map[string]string `json:"head"`
	Evidence  map[string]string `json:"evidence"`
	Slot      map[string]string `json:"slot"`
	Code      map[string]string `json:"code"`
	Phrase    phraseVector      `json:"passphrase"`
	Both      map[string]string `json:"passphraseAndCode"`
	Pairing   map[string]string `json:"pairing"`
	Manifest  map[string]string `json:"manifest"`
	Chunk     map[string]string `json:"chunk"`
	Padded    map[string]int    `json:"padded"`
	WrapInfo  string            `json:"wrapInfo"`
	Wrapped   string            `json:"wrapped"`
	Signature string            `json:"signatureOfWrapInfo"`
}

type sealedVector struct {
	Name      string `json:"name"`
	Hex       string `json:"hex"`
	Content   string `json:"content"`
	Statement string `json:"statement"`
	Signature string `json:"signature"`
}

func vectorOf(name string, s *seal.Sealed, p seal.Place, content []byte) sealedVector {
	return sealedVector{name, h(s.Marshal()), h(content), h(s.Statement(p)), h(s.Signature[:])}
}

type phraseVector struct {
	Text      string `json:"text"` // not in NFC
	Time      uint64 `json:"time"`
	Memory    uint64 `json:"memory"`
	Salt      string `json:"salt"`
	Stretched string `json:"stretched"`
	Key       string `json:"key"`
}

type changeVector struct {
	Hex   string `json:"hex"`
	Hash  string `json:"hash"`
	Proof string `json:"proofStatement"`
	Name  string `json:"name"`
}

func h[T ~[]byte](b T) string { return hex.EncodeToString(b) }

// makeVectors makes all but what is random by its nature: a wrapped key.
func makeVectors(t *testing.T) *vectors {
	id := identity(t, 10)
	d := device(t, 10, seal.RoleWrite)
	random := fill[seal.Hash](30)
	ofSpace := seal.AnchorOf(space, random, d.Sign)
	v := &vectors{Space: space, Random: h(random[:]), Anchor: h(anchor[:]), Key: h(key[:]),
		Place:  map[string]any{"client": h(place.Client[:]), "counter": place.Counter},
		Hashes: map[string]string{}, Padded: map[string]int{}}
	for _, n := range []byte{10, 11, 20} {
		sign, box := identity(t, n).Public()
		did := seal.DeviceID(sign, box)
		members := did.Members()
		seed, boxKey := fill[[32]byte](n), fill[[32]byte](n+100)
		v.Devices = append(v.Devices, map[string]any{"signSeed": h(seed[:]), "boxKey": h(boxKey[:]), "sign": h(sign[:]),
			"box": h(box[:]), "id": h(did[:]), "members": h(members[:])})
	}
	commit := key.Commit(anchor, 3)
	v.Hashes["anchorOfSpaceRandomAndFirstDevice"] = h(ofSpace[:])
	v.Hashes["commitOfKeyInEpoch3"] = h(commit[:])
	for name, content := range map[string][]byte{"empty": nil, "short": []byte("a text"),
		"long": bytes.Repeat([]byte("0123456789abcdef"), 100)} {
		s := sealed(t, content, false)
		v.Sealed = append(v.Sealed, vectorOf(name, s, place, content))
	}
	slices.SortFunc(v.Sealed, func(a, b sealedVector) int { return strings.Compare(a.Name, b.Name) })
	for i, one := range batch(t, 3) { // under the counters 1 to 3
		v.Batch = append(v.Batch, vectorOf(strconv.Itoa(i), one.Sealed, counted(i), []byte{byte(i)}))
	}
	c := change(t)
	data := c.Marshal()
	hash := seal.HashChange(data)
	v.Change = changeVector{h(data), h(hash[:]), h(c.Add[0].ProofStatement(anchor)), "Laptop"}
	told := head(t)
	v.Head = map[string]string{"hex": h(told.Marshal()), "statement": h(told.Statement(anchor)),
		"fingerprint": seal.Fingerprint(anchor, told.At)}
	e := evidence(t)
	v.Evidence = map[string]string{"hex": h(e.Marshal()), "statement": h(e.Statement(newFounder(t).anchor))}
	s := slot(t, seal.SlotCode)
	k := code.Key(space)
	v.Slot = map[string]string{"key": h(k[:]), "sealed": h(s.Sealed)}
	v.Code = map[string]string{"bytes": h(code[:]), "text": code.String()}
	v.Phrase, v.Both = passphraseVectors(t)
	v.Pairing = pairingVector(t)
	v.Manifest, v.Chunk = snapshotVectors(t)
	for _, n := range []int{0, 251, 252, 1000, 100_000} {
		v.Padded[strconv.Itoa(n)] = len(sealed(t, make([]byte, n), false).Box) - 16
	}
	info := seal.WrapInfo(anchor, 3, d.ID())
	v.WrapInfo = h(info)
	signature := sign(t, id, info)
	v.Signature = h(signature[:])
	return v
}

func passphraseVectors(t *testing.T) (alone phraseVector, both map[string]string) {
	const text = "Zu\u0308rich liegt am See"
	kdf := &seal.KDF{Time: 2, Memory: seal.LeastKDFMemory, Salt: fill[[16]byte](45)}
	stretched, err := native.Stretch(text)(t.Context(), kdf)
	must(t, err)
	k, err := kdf.Key(t.Context(), space, native.Stretch(text), nil)
	must(t, err)
	withCode, err := kdf.Key(t.Context(), space, native.Stretch(text), &code)
	must(t, err)
	s := seal.Slot{Role: seal.RoleAdmin, User: fill[seal.ID](60), Kind: seal.SlotBoth, KDF: kdf}
	s.Sign, s.Box = identity(t, 20).Public()
	must(t, s.Seal(space, withCode, secret(), stream(24)))
	c := &seal.Change{Prev: fill[seal.Hash](12), Slots: []seal.Slot{s}}
	return phraseVector{text, kdf.Time, kdf.Memory, h(kdf.Salt[:]), h(stretched[:]), h(k[:])},
		map[string]string{"key": h(withCode[:]), "change": h(c.Marshal())}
}

func pairingVector(t *testing.T) map[string]string {
	inviter, joiner := hello(t, 10, "").Marshal(), hello(t, 11, "Phone").Marshal()
	box, commit := pairSecret.Mailbox(), pairSecret.Commit(joiner)
	message, err := pairSecret.SealPair(seal.PairNew, joiner, stream(44))
	must(t, err)
	return map[string]string{"link": pairSecret.String(), "mailbox": h(box[:]), "inviter": h(inviter), "new": h(joiner),
		"commit": h(commit[:]), "message3": h(message), "digits": pairSecret.Digits(inviter, joiner),
		"offer": h(offer(t).Marshal()), "pass": h(pass().Marshal())}
}

func snapshotVectors(t *testing.T) (m, k map[string]string) {
	one := manifest(t)
	id := one.ID(anchor)
	named, data := chunk(t, []byte("rows"), 76)
	return map[string]string{"hex": h(one.Marshal()), "summary": h(seal.MarshalSummary(summary())), "id": h(id[:]),
			"statement": h(one.Statement(anchor))},
		map[string]string{"hex": h(data), "content": h([]byte("rows")), "hash": h(named.Hash[:])}
}

const compressedName = "compressed"

// TestVectors: the formats are what they were. What no program makes twice alike is
// opened: a wrapped key, and what is compressed.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	got := makeVectors(t)
	ctx := t.Context()
	if *update {
		d := device(t, 10, seal.RoleWrite)
		w, err := suite.Wrap(ctx, d.Box, seal.WrapInfo(anchor, 3, d.ID()), &key)
		must(t, err)
		got.Wrapped = h(w[:])
		content := bytes.Repeat([]byte("0123456789abcdef"), 100)
		s := sealed(t, content, true)
		got.Sealed = append(got.Sealed, vectorOf(compressedName, s, place, content))
		must(t, os.WriteFile(file, indented(t, got), 0o644))
		return
	}
	data, err := os.ReadFile(file)
	must(t, err)
	var want vectors
	must(t, json.Unmarshal(data, &want))
	got.Wrapped = want.Wrapped
	for _, v := range want.Sealed {
		raw, err := hex.DecodeString(v.Hex)
		must(t, err)
		s, err := seal.UnmarshalSealed(raw)
		must(t, err)
		content, err := s.Decrypt(place, &key)
		if err != nil || h(content) != v.Content || h(s.Statement(place)) != v.Statement {
			t.Errorf("%s does not open: %v", v.Name, err)
		}
		if v.Name == compressedName {
			got.Sealed = append(got.Sealed, v)
		}
	}
	if string(indented(t, got)) != string(data) {
		t.Errorf("the formats have changed: run with -update and read the difference")
	}
	raw, err := hex.DecodeString(want.Wrapped)
	must(t, err)
	wrapped := [seal.WrapSize]byte(raw)
	k, err := identity(t, 10).Unwrap(ctx, seal.WrapInfo(anchor, 3, devID(t)), &wrapped)
	if err != nil || *k != key {
		t.Errorf("the wrapped key: %v, %v", k, err)
	}
}

func devID(t *testing.T) seal.ID {
	d := device(t, 10, seal.RoleWrite)
	return d.ID()
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	return append(data, '\n')
}
