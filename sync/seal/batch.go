package seal

import (
	"context"
	"slices"
)

// One signature covers up to MaxBatch transactions that a device sends together: it signs
// the root of a binary tree of hashes over their digests (Merkle, "A Digital Signature
// Based on a Conventional Encryption Function", 1987). Each transaction has the hashes
// beside its way to the root, so each can be verified alone, wherever a reader's share of
// the log ends.
const (
	// MaxBatch is how many transactions one signature covers at most.
	MaxBatch = 1 << maxPath
	maxPath  = 5
)

// Unsigned is a transaction without its signature, and its digest.
type Unsigned struct {
	Sealed *Sealed
	Digest Hash
}

// Sign signs transactions, MaxBatch with one signature. All signatures are asked for at once.
func Sign(ctx context.Context, by Identity, all []Unsigned) error {
	if len(all) == 0 {
		return nil
	}
	var statements [][]byte
	for batch := range slices.Chunk(all, MaxBatch) {
		statements = append(statements, signedStatement(tree(batch)))
	}
	signatures, err := by.SignAll(ctx, statements)
	if err != nil {
		return err
	}
	for i, one := range all {
		one.Sealed.Signature = signatures[i/MaxBatch]
	}
	return nil
}

// tree gives each transaction its way to the root, which it returns. Two neighbours make a node; one that is left over
// stands a level higher as it is.
func tree(batch []Unsigned) Hash {
	nodes, room := make([]Hash, len(batch)), make([]Hash, len(batch)*maxPath)
	for i, one := range batch {
		nodes[i], one.Sealed.Path, one.Sealed.Sides = one.Digest, room[i*maxPath:i*maxPath:(i+1)*maxPath], 0
	}
	for span := 1; len(nodes) > 1; span *= 2 {
		for i, one := range batch {
			at := i / span
			if at^1 >= len(nodes) {
				continue
			}
			s := one.Sealed
			s.Sides |= uint64(at&1) << len(s.Path)
			s.Path = append(s.Path, nodes[at^1])
		}
		higher := nodes[:0]
		for i := 0; i < len(nodes); i += 2 {
			if i+1 < len(nodes) {
				higher = append(higher, node(nodes[i], nodes[i+1]))
			} else {
				higher = append(higher, nodes[i])
			}
		}
		nodes = higher
	}
	return nodes[0]
}

func node(left, right Hash) Hash { return hash(domainNode, left[:], right[:]) }

// root is where a transaction's way leads.
func (s *Sealed) root(digest Hash) Hash {
	for i, beside := range s.Path {
		if s.Sides>>i&1 == 1 {
			digest = node(beside, digest)
		} else {
			digest = node(digest, beside)
		}
	}
	return digest
}

func signedStatement(root Hash) []byte { return append([]byte(domainSigned), root[:]...) }
