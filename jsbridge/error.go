package jsbridge

// Error is a value that JavaScript threw or a promise rejected with.
type Error struct {
	Name    string // "TypeError", a DOMException's name, "" if a non-error was thrown
	Message string
	Code    string // of a HeddleError
}

// Error returns "name: message".
func (e *Error) Error() string {
	if e.Name == "" {
		return e.Message
	}
	return e.Name + ": " + e.Message
}

// Is reports whether target is an *Error of the same name and no message, so
// that errors.Is(err, &Error{Name: "AbortError"}) matches.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Name == e.Name
}
