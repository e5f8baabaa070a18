package migrations

import (
	"strconv"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// LockIDText is the lock of the default schema, for SQL.
func LockIDText(schema string) string {
	if schema == "" {
		schema = dbsqlc.DefaultSchema
	}
	return strconv.FormatInt(lockID(schema), 10)
}

var VersionError = versionError
