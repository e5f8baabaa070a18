// Package pgtest gives every test a Postgres database of its own.
//
// A package's tests begin with
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// and then call URL or EmptyURL. The first of them starts a Postgres for this
// test binary alone (internal/devdb, without fsync, from a cached initdb), so
// that packages tested in parallel share nothing and none of them can pull the
// server away from another. With TRUNKLINE_TEST_DATABASE_URL set, that server is
// used instead; its role needs CREATEDB.
//
// It imports internal/devdb and db/migrations. Tests of db/migrations itself
// must therefore be in package migrations_test.
//
// Invariants:
//   - Each database belongs to one test and is dropped at its end.
//   - The server ends with the test binary, however that ends. What a killed one
//     left on disk, or in the server of TRUNKLINE_TEST_DATABASE_URL, later runs
//     remove.
//   - A test without a database fails; it is never skipped.
package pgtest
