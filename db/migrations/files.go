package migrations

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"

	"github.com/trunkline/trunkline/internal/dbsqlc"
)

// schemaFile is run before the numbered files, when the schema is missing.
const schemaFile = "00000_schema.sql"

//go:embed *.sql
var embedded embed.FS

// files is the embedded directory as seen by goose, rewritten for a schema.
type files struct{ schema *dbsqlc.Schema }

// Open opens a directory as it is and a file with its text rewritten.
func (f files) Open(name string) (fs.File, error) {
	file, err := embedded.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return &rewrittenFile{File: file, text: bytes.NewReader([]byte(f.schema.Rewrite(string(text))))}, nil
}

// rewrittenFile keeps everything of the embedded file but its text; Stat's
// size is that of the original.
type rewrittenFile struct {
	fs.File
	text *bytes.Reader
}

func (f *rewrittenFile) Read(p []byte) (int, error) { return f.text.Read(p) }
