// Package shelf says what a server keeps of a sealed space beside its log: which
// snapshots, which chunks, and how much of the log's beginning. It reads and decides; the
// server checks who asks, and commits.
//
// Of snapshots the newest that is proved stays until a newer one is, with those that are
// newer: see docs/SECURITY.md, section 11. The log is cut behind the newest proved one.
package shelf

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"heddle.dev/heddle/internal/errcode"
	"heddle.dev/heddle/sync/logstore"
	"heddle.dev/heddle/sync/seal"
)

// Names of the blobs of a space.
const (
	shelfName      = "shelf" // a Shelf
	baseName       = "base"  // a seal.Base: what is known of the entries that were cut
	chunkPrefix    = "chunk/"
	snapshotPrefix = "snapshot/"
)

// ChunkName names a chunk's blob.
func ChunkName(h seal.Hash) string { return chunkPrefix + hex.EncodeToString(h[:]) }

// SnapshotName names a manifest's blob.
func SnapshotName(id seal.ID) string { return snapshotPrefix + hex.EncodeToString(id[:]) }

// Limits are how much is kept. A zero field is no number of its own: the server sets all.
type Limits struct {
	Kept      uint64        // entries at the log's end that are never cut
	Entries   uint64        // of the log since the newest snapshot, from which another one is wanted
	Bytes     int64         // of those; or half the bytes of that snapshot, if that is more
	Step      uint64        // entries that are cut at a time, at most
	Abandoned time.Duration // after which a chunk goes that no snapshot has come to name
}

// Unproved is how many snapshots are kept that are newer than the proved one.
const Unproved = 2

// Shelf lists a space's snapshots, the oldest first.
type Shelf struct {
	Snapshots []Snapshot
	// Challenges is the key of the MAC of the challenges that the space's devices sign, which
	// every server over the store takes; nil in a space that an earlier build has made.
	Challenges []byte `json:",omitempty"`
}

// New makes the shelf of a new space.
func New() *Shelf {
	s := &Shelf{Challenges: make([]byte, 32)}
	rand.Read(s.Challenges) // never fails
	return s
}

// Snapshot is what is kept of a manifest where all of it is not needed.
type Snapshot struct {
	ID     seal.ID
	Maker  seal.ID // the device
	Seq    uint64
	Size   int64 // of its chunks
	Before int64 // bytes that the log has up to Seq
	Proved bool
}

// Read reads the shelf of a space; one without snapshots is empty.
func Read(v logstore.View) (*Shelf, error) {
	s := &Shelf{}
	data, err := v.Blob(shelfName)
	if err == nil && data != nil {
		err = errcode.Wrap(json.Unmarshal(data, s), errcode.Damaged, "shelf: read")
	}
	return s, err
}

// Blob is the shelf as it is written.
func (s *Shelf) Blob() logstore.Blob {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // it has numbers and bytes alone
	}
	return logstore.Blob{Name: shelfName, Bytes: data}
}

// Newest returns the newest snapshot, nil without one.
func (s *Shelf) Newest() *Snapshot {
	if len(s.Snapshots) == 0 {
		return nil
	}
	return &s.Snapshots[len(s.Snapshots)-1]
}

// Proved returns the newest that is proved, nil without one.
func (s *Shelf) Proved() *Snapshot {
	for i := range slices.Backward(s.Snapshots) {
		if s.Snapshots[i].Proved {
			return &s.Snapshots[i]
		}
	}
	return nil
}

// Offers are the snapshots in the order in which a new device is to try them: the proved ones first, and of each kind
// the newest first.
func (s *Shelf) Offers() (all []Snapshot) {
	for _, proved := range []bool{true, false} {
		for _, one := range slices.Backward(s.Snapshots) {
			if one.Proved == proved {
				all = append(all, one)
			}
		}
	}
	return all
}

// Find returns a snapshot by its id, nil without one.
func (s *Shelf) Find(id seal.ID) *Snapshot {
	i := slices.IndexFunc(s.Snapshots, func(one Snapshot) bool { return one.ID == id })
	if i < 0 {
		return nil
	}
	return &s.Snapshots[i]
}

// Add puts a new snapshot on the shelf, and returns those that give way to it.
func (s *Shelf) Add(n Snapshot) (gone []Snapshot) {
	s.Snapshots = append(s.Snapshots, n)
	return s.tidy()
}

// Prove notes that a snapshot is proved, and returns those that it replaces.
func (s *Shelf) Prove(id seal.ID) (gone []Snapshot) {
	if one := s.Find(id); one != nil {
		one.Proved = true
	}
	return s.tidy()
}

// tidy takes away what is older than the newest proved snapshot, and of the others all but the newest.
func (s *Shelf) tidy() (gone []Snapshot) {
	proved := s.Proved()
	least, unproved := uint64(0), 0
	if proved != nil {
		least = proved.Seq
	}
	for _, one := range slices.Backward(s.Snapshots) {
		if !one.Proved {
			unproved++
		}
		if one.Seq < least || !one.Proved && unproved > Unproved {
			gone = append(gone, one)
		}
	}
	s.Snapshots = slices.DeleteFunc(s.Snapshots, func(one Snapshot) bool { return slices.Contains(gone, one) })
	return gone
}

// Due says whether another snapshot is wanted, by what was written since one; nil since the log's beginning.
func (s *Shelf) Due(m *logstore.Meta, l *Limits, n *Snapshot) bool {
	seq, bytes, least := uint64(0), m.Logged, l.Bytes
	if n != nil {
		seq, bytes, least = n.Seq, m.Logged-n.Before, max(l.Bytes, n.Size/2)
	}
	return m.Head.Seq > seq && (m.Head.Seq-seq > l.Entries || bytes > least)
}

// CutTo returns up to which entry the log may be cut now, no less than where it begins.
func (s *Shelf) CutTo(m *logstore.Meta, l *Limits) uint64 {
	proved := s.Proved()
	if proved == nil || m.Head.Seq <= l.Kept {
		return m.Horizon
	}
	return max(m.Horizon, min(proved.Seq, m.Head.Seq-l.Kept, m.Horizon+l.Step))
}

// WasCut notes that the log has so many bytes fewer before the snapshots.
func (s *Shelf) WasCut(bytes int64) {
	for i := range s.Snapshots {
		s.Snapshots[i].Before -= bytes
	}
}

// Stock is what a space has in chunks.
type Stock struct {
	Sizes map[string]int64 // by the blob's name
	at    map[string]int64
}

// Chunks reads which chunks there are.
func Chunks(v logstore.View) (*Stock, error) {
	all, err := v.Blobs(chunkPrefix)
	s := &Stock{Sizes: map[string]int64{}, at: map[string]int64{}}
	for _, b := range all {
		s.Sizes[b.Name], s.at[b.Name] = b.Size, b.At
	}
	return s, err
}

// Bytes is the size of all chunks.
func (s *Stock) Bytes() (n int64) {
	for _, size := range s.Sizes {
		n += size
	}
	return n
}

// Waste returns the deletion of what the snapshots of a shelf do not need: manifests and chunks of
// those that are gone at once, and chunks of none once they were abandoned. added is a manifest that
// is not written yet, or nil; now is in Unix seconds.
func Waste(
	v logstore.View, s *Shelf, gone []Snapshot, added *seal.Manifest, l *Limits, now int64,
) (all []logstore.Blob, err error) {
	stock, err := Chunks(v)
	if err != nil {
		return nil, err
	}
	needed, freed := map[string]bool{}, map[string]bool{}
	if added != nil {
		addNames(added, needed)
	}
	for _, one := range s.Snapshots {
		if err := names(v, one.ID, needed); err != nil {
			return nil, err
		}
	}
	for _, one := range gone {
		if err := names(v, one.ID, freed); err != nil {
			return nil, err
		}
		all = append(all, logstore.Blob{Name: SnapshotName(one.ID)})
	}
	for name, at := range stock.at {
		abandoned := time.Duration(now-at)*time.Second > l.Abandoned
		if !needed[name] && (freed[name] || abandoned) {
			all = append(all, logstore.Blob{Name: name})
		}
	}
	slices.SortFunc(all, func(a, b logstore.Blob) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// names adds the names of the chunks of a snapshot that the space has; of one that is new there are none.
func names(v logstore.View, id seal.ID, all map[string]bool) error {
	data, err := v.Blob(SnapshotName(id))
	if err != nil || data == nil {
		return err
	}
	m, err := seal.UnmarshalManifest(data)
	if err != nil {
		return errcode.Wrap(err, errcode.Damaged, "shelf: read manifest")
	}
	addNames(m, all)
	return nil
}

func addNames(m *seal.Manifest, all map[string]bool) {
	for i := range m.Chunks {
		all[ChunkName(m.Chunks[i].Hash)] = true
	}
}

// Was returns how the shelf and the base are that blobs replace. The log's end does not tell
// commits apart that have no entries: of two servers, or one that takes effect late, the
// second one is to be refused.
func Was(v logstore.View, blobs []logstore.Blob) (was []logstore.Blob, err error) {
	for i := range blobs {
		if name := blobs[i].Name; name == shelfName || name == baseName {
			data, err := v.Blob(name)
			if err != nil {
				return nil, err
			}
			was = append(was, logstore.Blob{Name: name, Bytes: data})
		}
	}
	return was, nil
}

// Base reads what is known of the entries that were cut, nil where none were.
func Base(v logstore.View, m *logstore.Meta) (*seal.Base, error) {
	const op = "shelf: read base"
	if m.Horizon == 0 {
		return nil, nil
	}
	data, err := v.Blob(baseName)
	if err != nil {
		return nil, err
	}
	b, err := seal.UnmarshalBase(data)
	if err != nil {
		return nil, errcode.Wrap(err, errcode.Damaged, op)
	}
	if b.Head.Seq != m.Horizon || b.Head.Chain != m.HorizonChain {
		return nil, errcode.New(errcode.Damaged, op, "what is known of the log's beginning is of another entry")
	}
	return b, nil
}

// BaseBlob is a base as it is written.
func BaseBlob(b *seal.Base) logstore.Blob { return logstore.Blob{Name: baseName, Bytes: b.Marshal()} }
