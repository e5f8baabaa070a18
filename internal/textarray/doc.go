// Package textarray encodes text[] for statements that carry whole batches: of
// messages to be stored, of notifications.
//
// It imports pgx only, and holds no state. What it sends is byte for byte what
// pgx sends.
package textarray
