package sqlconn

// Class is what SQL does, as SQLite's own compiler and authorizer say.
type Class uint8

const (
	// Other changes the schema, ends a savepoint, analyses, or does not compile
	// as things stand.
	Other Class = iota
	// Reads changes nothing.
	Reads
	// Rows changes rows of tables and nothing else.
	Rows
	// Vacuum is VACUUM, which SQLite does not allow inside a transaction.
	Vacuum
)

// Classify compiles the statements of sql one by one. Of several, the class is
// what all have in common.
func (c *Conn) Classify(sql string) (Class, error) {
	n, all := 0, Reads
	for rest := sql; rest != ""; n++ {
		s, tail, err := c.Prepare(rest, UserWrite)
		if err != nil {
			return Other, err
		}
		if rest = tail; s == nil {
			n--
			continue
		}
		class := s.class()
		s.Close()
		switch {
		case class == Vacuum && (n > 0 || tail != ""):
			next, _, err := c.Prepare(tail, UserWrite)
			if next != nil {
				next.Close()
			}
			if n > 0 || next != nil || err != nil {
				return Other, err
			}
			return Vacuum, nil
		case class == Other || class == Vacuum:
			return class, nil
		case class == Rows:
			all = Rows
		}
	}
	return all, nil
}

func (s *Stmt) class() Class {
	switch {
	case s.Vacuum:
		return Vacuum
	case s.more, !s.acts && !s.ReadsOnly: // EXPLAIN VACUUM
		return Other
	case s.ReadsOnly:
		return Reads
	}
	return Rows
}
