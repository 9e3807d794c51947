package seal

import "slices"

// Libraries differ on keys and signatures that nobody makes by following the rules:
// points of a small order, and points written with a number beyond the field's. A
// signature that one browser takes and another does not would stop the second's
// replica; a key that nothing can be wrapped for would keep everybody from beginning an
// epoch. So messages with such points do not decode.

// field is 2^255 - 19, little-endian.
var field = [32]byte{0: 0xed, 1: 0xff, 2: 0xff, 3: 0xff, 4: 0xff, 5: 0xff, 6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff,
	10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff, 16: 0xff, 17: 0xff, 18: 0xff, 19: 0xff, 20: 0xff,
	21: 0xff, 22: 0xff, 23: 0xff, 24: 0xff, 25: 0xff, 26: 0xff, 27: 0xff, 28: 0xff, 29: 0xff, 30: 0xff, 31: 0x7f}

// smallEdwards are the y of Ed25519's points whose order divides 8.
var smallEdwards = []string{
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0" +
		"\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
	"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f" +
		"\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
	"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
}

// smallMontgomery are the u of X25519's points whose order divides 8, of the curve and
// of its twist.
var smallMontgomery = []string{
	smallEdwards[0], smallEdwards[1], smallEdwards[4],
	"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a" +
		"\xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00",
	"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b" +
		"\x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57",
}

// edwards says whether b is the one encoding of a point of a large order, or of none.
func edwards(b [32]byte) bool {
	b[31] &= 0x7f // the sign of x
	return point(b, smallEdwards)
}

// montgomery says so of an X25519 public key.
func montgomery(b [32]byte) bool { return point(b, smallMontgomery) }

func point(b [32]byte, small []string) bool {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != field[i] {
			return b[i] < field[i] && !slices.Contains(small, string(b[:]))
		}
	}
	return false // the field's number itself
}

// decent says whether a signature's point is one that all libraries treat alike.
func (s *Signature) decent() bool { return edwards([32]byte(s[:32])) }
