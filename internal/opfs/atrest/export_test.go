package atrest

// SetPart has a recoding take smaller parts.
func (r *Recoding) SetPart(bytes int) { r.part = bytes }
