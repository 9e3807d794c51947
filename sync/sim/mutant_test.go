package sim

// mutate breaks the device on purpose, where the run is of a mutant.
func (d *device) mutate() error { return nil }
