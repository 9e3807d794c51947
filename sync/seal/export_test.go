package seal

// For the tests.
var (
	Frame       = frame
	Unframe     = unframe
	UnframeBulk = unframeBulk
)

// MarshalSummary and UnmarshalSummary are what Encrypt and Decrypt do of a Summary.
func MarshalSummary(s *Summary) []byte { return marshal(s) }

func UnmarshalSummary(data []byte) (*Summary, error) {
	s := &Summary{}
	return s, unmarshal(data, "seal: open manifest", s)
}
