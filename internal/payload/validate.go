package payload

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"fnobridge/internal/failure"
)

// Bounds on what is unpacked of a package, in bytes. F&O's own manifests have some kilobytes per entity.
const (
	maxXML       = 8 << 20
	maxDirectory = 8 << 20 // of reading the zip's directory: some 100,000 entries
)

// A container of files: what is read of a data package before it is posted.
type packageFile struct {
	zip          *zip.Reader
	header       *zip.File
	manifest     *zip.File
	manifestText string
	encoding     encoding
	entities     []manifestEntity
	files        map[string]*zip.File // by name as fold returns it
}

// fold returns the form in which names are compared: F&O runs on Windows.
func fold(name string) string { return strings.ToLower(strings.ReplaceAll(name, `\`, "/")) }

// validate checks the shape of a data package: files at the root of a readable zip, PackageHeader.xml and Manifest.xml
// present and well-formed, the entity among those of the manifest, and every file that the manifest names in the zip.
// What the data files hold is not looked at. r is read in few places only.
func validate(r io.ReaderAt, size int64, entity string) error {
	p, err := readPackage(r, size)
	if err != nil {
		return invalid(err)
	}
	if entity != "" && !p.holds(entity) {
		return reject(failure.PackageInvalid, fmt.Sprintf("the package holds %s, not %.200q", p.names(), entity))
	}
	for _, e := range p.entities {
		if e.disabled() {
			continue
		}
		file := strings.TrimSpace(e.InputFilePath)
		if file == "" {
			return reject(failure.PackageInvalid, fmt.Sprintf("%s names no InputFilePath for %.200q", manifestName, e.Name))
		}
		if p.find(file) == nil {
			return reject(failure.PackageInvalid, fmt.Sprintf("%s names the file %.200q for %.200q, and the package does not hold it", manifestName, file, e.Name))
		}
	}
	return nil
}

// invalid returns the failure of a package that cannot be read, unless storage is to blame for that.
func invalid(err error) error {
	if f, ok := errors.AsType[*failure.Failure](err); ok {
		return f
	}
	return &failure.Failure{Verdict: failure.Reject, Reason: failure.PackageInvalid, Op: op, Detail: "not a data package: " + err.Error()}
}

// readPackage reads the directory and the two XML files.
func readPackage(r io.ReaderAt, size int64) (*packageFile, error) {
	bounded := &boundedReaderAt{r: r, left: maxDirectory}
	z, err := zip.NewReader(bounded, size)
	if err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	bounded.left = -1 // from here on each file has a bound of its own
	p := &packageFile{zip: z, files: make(map[string]*zip.File, len(z.File))}
	for _, f := range z.File {
		p.files[fold(f.Name)] = f
	}
	if p.header, err = p.single(headerName); err != nil {
		return nil, err
	}
	if p.manifest, err = p.single(manifestName); err != nil {
		return nil, err
	}
	text, _, err := readXML(p.header)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", headerName, err)
	}
	if err := wellFormed(text, headerRoot); err != nil {
		return nil, fmt.Errorf("%s: %w", headerName, err)
	}
	if p.manifestText, p.encoding, err = readXML(p.manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	m, err := parseManifest(p.manifestText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	p.entities = m.Entities
	return p, nil
}

// single returns the one file of that name at the root.
func (p *packageFile) single(name string) (*zip.File, error) {
	var found *zip.File
	elsewhere := ""
	for _, f := range p.zip.File {
		switch {
		case strings.EqualFold(f.Name, name) && found != nil:
			return nil, fmt.Errorf("%s is in it twice", name)
		case strings.EqualFold(f.Name, name):
			found = f
		case strings.EqualFold(path.Base(fold(f.Name)), name):
			elsewhere = f.Name
		}
	}
	switch {
	case found != nil:
		return found, nil
	case elsewhere != "":
		return nil, fmt.Errorf("%s is in a folder (%.200q): files must be at the root of the zip", name, elsewhere)
	default:
		return nil, fmt.Errorf("%s is missing", name)
	}
}

// find returns the file that an InputFilePath names, nil when there is none.
func (p *packageFile) find(name string) *zip.File { return p.files[fold(name)] }

func (p *packageFile) holds(entity string) bool {
	for _, e := range p.entities {
		if sameName(e.Name, entity) {
			return true
		}
	}
	return false
}

// names returns the entities for a message to a person.
func (p *packageFile) names() string {
	const most = 5
	var names []string
	for i, e := range p.entities {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(p.entities)-most))
			break
		}
		names = append(names, fmt.Sprintf("%.200q", e.Name))
	}
	return strings.Join(names, ", ")
}

func readXML(f *zip.File) (string, encoding, error) {
	body, err := f.Open()
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = body.Close() }() // only read from
	b, err := io.ReadAll(io.LimitReader(body, maxXML+1))
	if err != nil {
		return "", 0, err
	}
	if len(b) > maxXML {
		return "", 0, fmt.Errorf("unpacks to more than %d bytes", maxXML)
	}
	return decodeText(b)
}

// A boundedReaderAt gives up after left bytes; a negative left bounds nothing.
type boundedReaderAt struct {
	r    io.ReaderAt
	left int64
}

var errDirectory = errors.New("too many files")

func (b *boundedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if b.left >= 0 {
		if b.left -= int64(len(p)); b.left < 0 {
			b.left = 0
			return 0, errDirectory
		}
	}
	return b.r.ReadAt(p, off)
}
