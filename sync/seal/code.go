package seal

import (
	"io"
	"strings"

	"heddle.dev/heddle/internal/errcode"
)

// RecoveryCode is a key that a person writes down: 128 random bits.
type RecoveryCode [16]byte

// A code is written as 26 symbols of Crockford's base 32 and two check symbols, in
// seven groups of four. The first two of its 130 bits are its version, 0.
const (
	codeSymbols  = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeLength   = 26
	checkLength  = 2
	codeGroup    = 4
	codeModulus  = 1021 // a prime: it finds each wrong symbol, and each two that change places
	versionBits  = 2
	symbolBits   = 5
	checkSymbols = 1 << symbolBits
)

// NewRecoveryCode draws a code.
func NewRecoveryCode(random io.Reader) (c RecoveryCode, err error) {
	_, err = io.ReadFull(random, c[:])
	return c, errcode.Wrap(err, errcode.Internal, "seal: draw a code")
}

// String returns the code as it is written down.
func (c RecoveryCode) String() string {
	v := make([]int, 0, codeLength+checkLength)
	bits, n := uint(0), versionBits // the version comes first
	for _, b := range c {
		bits, n = bits<<8|uint(b), n+8
		for n >= symbolBits {
			n -= symbolBits
			v = append(v, int(bits>>n)&(checkSymbols-1))
		}
	}
	check := checkOf(v)
	v = append(v, check/checkSymbols, check%checkSymbols)
	var s strings.Builder
	for i, symbol := range v {
		if i > 0 && i%codeGroup == 0 {
			s.WriteByte('-')
		}
		s.WriteByte(codeSymbols[symbol])
	}
	return s.String()
}

func checkOf(v []int) (sum int) {
	for i, symbol := range v {
		sum = (sum + (i+1)*symbol) % codeModulus
	}
	return sum
}

// ParseRecoveryCode reads a code as people type it: in either case, with O for 0 and
// I or L for 1, with hyphens and spaces anywhere. Errors are HEDDLE_BAD_CODE.
func ParseRecoveryCode(s string) (c RecoveryCode, err error) {
	bad := func(msg string) (RecoveryCode, error) {
		return RecoveryCode{}, errcode.New(errcode.BadCode, "seal: read a recovery code", msg)
	}
	var v []int
	for _, r := range strings.ToUpper(s) {
		switch r {
		case '-', ' ', '\t', '\r', '\n':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		symbol := strings.IndexRune(codeSymbols, r)
		if symbol < 0 {
			return bad("a symbol is none of a code's")
		}
		if v = append(v, symbol); len(v) > codeLength+checkLength {
			return bad("the code has more than 28 symbols")
		}
	}
	if len(v) < codeLength+checkLength {
		return bad("the code has fewer than 28 symbols")
	}
	if checkOf(v[:codeLength]) != v[codeLength]*checkSymbols+v[codeLength+1] {
		return bad("a symbol is wrong, or two have changed places")
	}
	if v[0]>>(symbolBits-versionBits) != 0 {
		return bad("the code is of a later version of Heddle")
	}
	bits, n, at := uint(0), -versionBits, 0
	for _, symbol := range v[:codeLength] {
		bits, n = bits<<symbolBits|uint(symbol), n+symbolBits
		if n >= 8 {
			n -= 8
			c[at] = byte(bits >> n)
			at++
		}
	}
	return c, nil
}

// Key returns the key of the code's slot in a space.
func (c RecoveryCode) Key(space string) Key {
	return Key(keyed(c[:], labelSlot, lengthed([]byte(space))))
}
