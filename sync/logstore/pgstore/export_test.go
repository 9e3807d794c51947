package pgstore

import "heddle.dev/heddle/sync/logstore"

// HintsOf are the hints of a store, which closes them.
func HintsOf(s *Store) logstore.Hints { return s.hints }

// Settings are those of each connection.
var Settings = settings
