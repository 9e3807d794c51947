// Package accept reads Accept-Encoding, see RFC 9110, section 12.5.3.
package accept

import (
	"strconv"
	"strings"
)

// Encoding reports whether a header allows an encoding that it names, or that its
// "*" stands for. Weights are looked at as far as zero, which refuses.
func Encoding(header, name string) bool {
	any := false
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		switch coding = strings.TrimSpace(coding); {
		case strings.EqualFold(coding, name):
			return weighs(params)
		case coding == "*":
			any = weighs(params)
		}
	}
	return any
}

// weighs reports whether the parameters of a coding leave it a weight.
func weighs(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		key, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(key), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		return err == nil && q > 0
	}
	return true
}
