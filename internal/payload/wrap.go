package payload

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"fnobridge/internal/failure"
)

const (
	maxTemplate = 28_000_000 // bytes
	maxFileName = 150        // bytes of the name of the data entry
)

// A template is a data package as exported from F&O, into which a raw file is put in place of its data.
type template struct {
	*packageFile
	drop map[string]bool // entries that do not go into the result: the old data
}

// readTemplate reads and checks a template. The raw file becomes the data of its first entity.
func readTemplate(file, entity string) (*template, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	if info.Size() > maxTemplate {
		return nil, fmt.Errorf("template %s: larger than %d bytes", file, maxTemplate)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	p, err := readPackage(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("template %s: not a data package: %w", file, err)
	}
	first := p.entities[0]
	if entity != "" && !sameName(first.Name, entity) {
		return nil, fmt.Errorf("template %s: its first entity is %.200q, not %.200q", file, first.Name, entity)
	}
	if _, err := setInputFilePath(p.manifestText, "x"); err != nil {
		return nil, fmt.Errorf("template %s: %s: %w", file, manifestName, err)
	}
	t := &template{packageFile: p, drop: map[string]bool{}}
	keep := map[string]bool{}
	for _, e := range p.entities[1:] {
		if f := p.find(strings.TrimSpace(e.InputFilePath)); f != nil {
			keep[f.Name] = true
		}
	}
	for _, f := range p.zip.File {
		atRoot := !strings.ContainsAny(f.Name, `/\`)
		if f == p.manifest || atRoot && f != p.header && !keep[f.Name] {
			t.drop[f.Name] = true // the old data, whatever it is called, and the manifest, which is written anew
		}
	}
	return t, nil
}

// CheckTemplate reports what is wrong with the template of a route, for an entity ("" for any).
func CheckTemplate(file, entity string) error {
	t, err := readTemplate(file, entity)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.pack(&b, strings.NewReader("x"), t.dataName("a name that stands nowhere in the template")); err != nil {
		return fmt.Errorf("template %s: %w", file, err)
	}
	if err := validate(bytes.NewReader(b.Bytes()), int64(b.Len()), entity); err != nil {
		return fmt.Errorf("template %s: what is made of it is no data package: %w", file, err)
	}
	return nil
}

// unusable returns the failure of a template that makes no package: not the message's fault, so the file goes on waiting
// within the bounds of the route.
func unusable(err error) error {
	return &failure.Failure{Verdict: failure.Retry, Reason: failure.PackageInvalid, Op: op, Detail: "the route's template cannot be used", Err: err}
}

// wrap puts the content into the route's template. The package must be there before its size is known, and the size
// before the post: it goes to memory for an inline body, which is there already, and to a file for a claim check.
func (o *Opener) wrap(ctx context.Context, c content, sum []byte, s Source, r Rule) (*Payload, error) {
	t, err := readTemplate(r.Template, s.Entity)
	if err != nil {
		return nil, unusable(err)
	}
	if s.DataRef == "" {
		var b bytes.Buffer
		if err := t.write(ctx, &b, c, sum, s.FileName, r.MaxSize); err != nil {
			return nil, err
		}
		if err := validate(bytes.NewReader(b.Bytes()), int64(b.Len()), s.Entity); err != nil {
			return nil, unusable(err)
		}
		open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
		return &Payload{size: int64(b.Len()), open: open}, nil
	}
	f, err := newSpool(o.tempDir)
	if err != nil {
		return nil, spoolFailure(err)
	}
	err = t.write(ctx, f, c, sum, s.FileName, r.MaxSize)
	if err == nil {
		if err = validate(f.file, f.size, s.Entity); err != nil {
			err = unusable(err)
		}
	}
	if err != nil {
		_ = f.Close() // nothing in it is wanted any more
		return nil, err
	}
	return &Payload{size: f.size, open: f.open, close: f.Close}, nil
}

// write writes the package to w, limit bytes at most, and checks the content's checksum on the way.
func (t *template) write(ctx context.Context, w io.Writer, c content, sum []byte, fileName string, limit int64) error {
	body, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read from
	h := sha256.New()
	name := t.dataName(fileName)
	err = t.pack(&limitWriter{w: w, left: limit}, io.TeeReader(body, h), name)
	switch {
	case errors.Is(err, errLimit):
		return tooLarge("the package made of the payload is too large", limit)
	case errors.Is(err, errSpool):
		return spoolFailure(err)
	case err != nil:
		return readFailure(ctx, err)
	case sum != nil:
		return compare(h.Sum(nil), sum)
	default:
		return nil
	}
}

// pack writes header, manifest, what else the template holds, and the data.
func (t *template) pack(w io.Writer, data io.Reader, name string) error {
	text, err := setInputFilePath(t.manifestText, name)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, f := range t.zip.File {
		if t.drop[f.Name] || strings.EqualFold(f.Name, name) {
			continue
		}
		if err := z.Copy(f); err != nil {
			return fmt.Errorf("copy %s: %w", f.Name, err)
		}
	}
	if err := addFile(z, t.manifest.Name, t.manifest.Modified, bytes.NewReader(encodeText(text, t.encoding))); err != nil {
		return err
	}
	if err := addFile(z, name, t.manifest.Modified, data); err != nil {
		return err
	}
	return z.Close()
}

// addFile adds a compressed entry. The time is the template's, so that the same input gives the same package.
func addFile(z *zip.Writer, name string, modified time.Time, r io.Reader) error {
	w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return err
}

// dataName returns the name of the data entry: the producer's, made safe, else the one in the template. F&O shows it in
// the execution's details.
func (t *template) dataName(fileName string) string {
	name := safeName(fileName)
	if name == "" {
		name = safeName(t.entities[0].InputFilePath)
	}
	if name == "" {
		name = "data"
	}
	if taken := t.find(name); taken != nil && (taken == t.header || taken == t.manifest || !t.drop[taken.Name]) {
		name = "data-" + name
	}
	return name
}

// safeName returns the last element of a path, without what Windows does not take in a file name.
func safeName(s string) string {
	s = path.Base(strings.ReplaceAll(strings.ToValidUTF8(s, "_"), `\`, "/"))
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || strings.ContainsRune(`<>:"/|?*`, r) {
			return '_'
		}
		return r
	}, s)
	s = strings.Trim(s, " .")
	if len(s) > maxFileName {
		ext := path.Ext(s)
		if len(ext) > 10 {
			ext = ""
		}
		end := maxFileName - len(ext)
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + ext
	}
	return s
}

var errLimit = errors.New("limit reached")

// A limitWriter fails on the first byte too many.
type limitWriter struct {
	w    io.Writer
	left int64
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		return 0, errLimit
	}
	n, err := l.w.Write(p)
	l.left -= int64(n)
	return n, err
}
