package deadletter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"fnobridge/internal/contract"
)

// ExportLines writes the selected dead letters as JSON lines, bodies included, and returns their number. Nothing is
// locked or removed; one page is in memory at a time.
func ExportLines(ctx context.Context, b Broker, s contract.Source, f Filter, w io.Writer) (int, error) {
	n := 0
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for m, err := range WalkFull(ctx, b, s, f, -1) {
		if err != nil {
			return n, err
		}
		if err := enc.Encode(m); err != nil {
			return n, fmt.Errorf("write dead letter %d: %w", m.SequenceNumber, err)
		}
		n++
	}
	return n, nil
}

// indexFile names the messages of an exported directory.
const indexFile = "dead-letters.jsonl"

// ExportDir writes every selected dead letter's body to a file of its own in dir, and the rest of it to
// dead-letters.jsonl there, whose lines name the file. It refuses a directory that has an index already.
func ExportDir(ctx context.Context, b Broker, s contract.Source, f Filter, dir string) (n int, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	index, err := os.OpenFile(filepath.Join(dir, indexFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	defer func() {
		if cerr := index.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("export: %w", cerr)
		}
	}()
	enc := json.NewEncoder(index)
	enc.SetEscapeHTML(false)
	for m, werr := range WalkFull(ctx, b, s, f, -1) {
		if werr != nil {
			return n, werr
		}
		body := []byte(m.Body)
		if m.BodyBase64 != "" {
			if body, err = base64.StdEncoding.DecodeString(m.BodyBase64); err != nil {
				return n, fmt.Errorf("export dead letter %d: %w", m.SequenceNumber, err)
			}
		}
		line := struct {
			File string `json:"file"`
			Message
		}{fmt.Sprintf("%d%s", m.SequenceNumber, extension(m)), m}
		line.Body, line.BodyBase64 = "", ""
		if err := os.WriteFile(filepath.Join(dir, line.File), body, 0o600); err != nil {
			return n, fmt.Errorf("export dead letter %d: %w", m.SequenceNumber, err)
		}
		if err := enc.Encode(line); err != nil {
			return n, fmt.Errorf("export dead letter %d: %w", m.SequenceNumber, err)
		}
		n++
	}
	return n, nil
}

var plainExtension = regexp.MustCompile(`^\.[A-Za-z0-9]{1,8}$`)

// extension takes the file's extension from the producer's file name, when it is a harmless one.
func extension(m Message) string {
	if x := filepath.Ext(text(m.Properties[contract.PropFileName])); plainExtension.MatchString(x) {
		return strings.ToLower(x)
	}
	switch m.ContentType {
	case "application/zip":
		return ".zip"
	case "application/xml", "text/xml":
		return ".xml"
	case "text/csv":
		return ".csv"
	}
	return ".bin"
}
