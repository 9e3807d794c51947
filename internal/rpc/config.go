package rpc

// DecodeOpenConfig decodes a page's configuration.
func DecodeOpenConfig(message []byte) (OpenConfig, error) {
	r := Reader{b: message}
	if v := r.U16(); r.err == nil && v != Version {
		r.Fail("the page speaks version %d, this worker version %d", v, Version)
	}
	r.at = 0
	c := readOpenConfig(&r)
	if r.err == nil && c.Storage != "persistent" && c.Storage != "memory" {
		r.Fail("no storage is called %q", c.Storage)
	}
	return c, r.err
}
