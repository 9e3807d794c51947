package seal

// For the tests.
var (
	Frame   = frame
	Unframe = unframe
)
