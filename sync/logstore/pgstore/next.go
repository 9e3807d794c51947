//go:build next

package pgstore

// The build of a next version, for tests of rolling upgrades. Its tables have more than
// this one knows of.
func init() {
	migrations = append(migrations, migration{`
		ALTER TABLE heddle.space ADD COLUMN next bigint NOT NULL DEFAULT 0;
		ALTER TABLE heddle.log ADD COLUMN next bytea;
		CREATE TABLE heddle.next(space bigint NOT NULL PRIMARY KEY)`, len(migrations)})
}
