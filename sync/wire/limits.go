package wire

import "strings"

// Limits of the language. A message beyond one of them does not decode. All
// sizes are in bytes, after decompression.
const (
	MaxBody    = 32 << 20        // a marshalled transaction
	MaxPart    = 1 << 20         // one Part's Bytes
	PartSize   = MaxPart - 8<<10 // where SplitBody cuts: proxies often let no more than 1 MiB through
	MaxParts   = 1024            // parts of one transaction
	MaxRequest = 4 << 20         // a request's body
	MaxFrame   = MaxBody + 1<<20
	MaxName    = 255     // the name of a table or a column
	MaxColumns = 2000    // columns of a table, and of its key
	MaxTables  = 10_000  // tables of a body's schema
	MaxShapes  = 1 << 16 // shapes of a body
	MaxOps     = 1 << 20 // operations of a body
	MaxKey     = 64 << 10
	MaxSpace   = 128 // a space's name
	MaxText    = 4096
	MaxClients = 1000 // that a pull asks for
)

// Limits of what a space may come to hold. A transaction that would go beyond
// one of them is decided void, and its author refuses it before; what a log has
// is read, however much it is.
const (
	MaxSchemaTables  = 1000
	MaxSchemaColumns = 20_000  // of all tables, beside their keys
	MaxSchema        = 1 << 20 // all descriptors, as a body
	MaxKeyColumns    = 16      // of a table
	MaxGroups        = 1000    // migrations that brought columns of one table
	MaxRow           = 16 << 20
)

// MediaType is the Content-Type of every request and answer.
const MediaType = "application/vnd.heddle.v1"

// spaceMarks are what a space's name may have beside letters and digits: what a
// segment of a URL's path carries as it is, but for "*", which stands for every
// space in a token, and "," and ";", which divide lists.
const spaceMarks = "-._~!$&'()+=:@"

// SpaceRule says in words what ValidSpace takes.
const SpaceRule = "1 to 128 ASCII letters, digits and " + spaceMarks + ", and does not begin with . or -"

// ValidSpace reports whether s may name a space: 1 to MaxSpace bytes of ASCII
// letters, digits and spaceMarks, with neither "." nor "-" first.
func ValidSpace(s string) bool {
	if s == "" || len(s) > MaxSpace {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(spaceMarks, c) >= 0 && (i > 0 || c != '.' && c != '-'):
		default:
			return false
		}
	}
	return true
}
