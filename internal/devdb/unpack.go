package devdb

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The tarball holds the build below package/native. npm packages hold no
// symbolic links, so they are listed in a file.
const (
	nativePrefix = "package/native/"
	symlinkList  = "pg-symlinks.json"
)

// maxUnpacked bounds what a tarball may grow to: the pinned ones have 60 MB.
const maxUnpacked = 1 << 30

func unpackFile(tarball, to string) error {
	f, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unpack(f, to); err != nil {
		return err
	}
	return makeSymlinks(to)
}

// unpack writes the files of the build below the directory to, which it makes.
func unpack(r io.Reader, to string) error {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	if err := makeDir(to, 0o755); err != nil {
		return err
	}
	left := int64(maxUnpacked)
	for files := tar.NewReader(zip); ; {
		head, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, ok := strings.CutPrefix(head.Name, nativePrefix)
		if !ok || head.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(rel) {
			return fmt.Errorf("%q leads out of the package", head.Name)
		}
		if left -= head.Size; left < 0 {
			return fmt.Errorf("it is larger than %d bytes", maxUnpacked)
		}
		mode := os.FileMode(0o644)
		if head.FileInfo().Mode()&0o100 != 0 {
			mode = 0o755
		}
		if err := writeFile(filepath.Join(to, rel), mode, files); err != nil {
			return err
		}
	}
}

func writeFile(path string, mode os.FileMode, r io.Reader) (err error) {
	if err := makeDir(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err = io.Copy(f, r); err != nil {
		return err
	}
	return f.Chmod(mode) // whatever the umask
}

// makeSymlinks makes the links that pg-symlinks.json lists. Its paths are
// relative to the package and start with native/.
func makeSymlinks(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, symlinkList))
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string }
	if err := json.Unmarshal(raw, &links); err != nil {
		return fmt.Errorf("%s: %w", symlinkList, err)
	}
	for _, link := range links {
		source, okSource := strings.CutPrefix(link.Source, "native/")
		target, okTarget := strings.CutPrefix(link.Target, "native/")
		if !okSource || !okTarget || !filepath.IsLocal(source) || !filepath.IsLocal(target) {
			return fmt.Errorf("%s: %q to %q leads out of the package", symlinkList, link.Target, link.Source)
		}
		rel, err := filepath.Rel(filepath.Dir(target), source)
		if err != nil {
			return err
		}
		if err := os.Symlink(rel, filepath.Join(dir, target)); err != nil {
			return err
		}
	}
	return nil
}
