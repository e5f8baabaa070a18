package wire

// CheckObject tells whether data is one JSON object in valid UTF-8, white space
// around it allowed, such as may be a message's payload: nested at most as deep
// as fits in a frame of [MaxDepth]. It fails with [ErrSyntax], [ErrUTF8] or
// [ErrDepth].
func CheckObject(data []byte) error {
	i := skipSpace(data, 0)
	if i == len(data) || data[i] != '{' {
		return ErrSyntax
	}
	i, err := skipNested(data, i, 1)
	if err != nil {
		return err
	}
	if skipSpace(data, i) != len(data) {
		return ErrSyntax
	}
	return nil
}
