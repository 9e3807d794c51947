package seal

import "strings"

// Fingerprint is 30 digits, in groups of five, of a space and of its log up to a position: two
// members who read out the same for one entry have the same history up to there.
func Fingerprint(a Anchor, p Position) string {
	h := hash(domainFingerprint, a[:], u64(p.Seq), p.Chain[:])
	var groups []string
	for len(groups) < 6 {
		v := uint64(0)
		for _, b := range h[5*len(groups) : 5*len(groups)+5] {
			v = v<<8 | uint64(b)
		}
		digits := []byte("00000")
		for i := range digits {
			digits[len(digits)-1-i] += byte(v % 10)
			v /= 10
		}
		groups = append(groups, string(digits))
	}
	return strings.Join(groups, " ")
}
