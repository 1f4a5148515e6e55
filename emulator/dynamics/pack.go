package dynamics

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The two files that every data package has at its root.
const (
	headerName   = "PackageHeader.xml"
	manifestName = "Manifest.xml"
)

// maxEntry bounds what one entry of a package may inflate to.
const maxEntry = 64 << 20

// manifest is what an import reads of Manifest.xml. Source: the data packages that F&O writes; data contract namespace
// http://schemas.microsoft.com/dynamics/2015/01/DataManagement.
type manifest struct {
	XMLName xml.Name `xml:"http://schemas.microsoft.com/dynamics/2015/01/DataManagement DataManagementPackageManifest"`

	Group    string           `xml:"DefinitionGroupName"`
	Entities []manifestEntity `xml:"PackageEntityList>DataManagementPackageEntityData"`
}

type manifestEntity struct {
	Maps  []struct{} `xml:"EntityMapList>EntityMap"`
	Name  string     `xml:"EntityName"`
	Input string     `xml:"InputFilePath"`
	Form  string     `xml:"SourceFormat"`
}

type packageHeader struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/dynamics/2015/01/DataManagement DataManagementPackageHeader"`
	Manifest string   `xml:"ManifestType"`
	Type     string   `xml:"PackageType"`
}

// unpacked is what a package holds.
type unpacked struct {
	finding
	entities []string // labels, in the order of the manifest
	file     string   // the data file of the first entity
}

// inspectPackage reads a data package. lookup returns the rules of a label, nil for one that F&O does not know.
func inspectPackage(body []byte, lookup func(string) *Entity) unpacked {
	u, err := readPackage(body, lookup)
	u.broken = err
	return u
}

func readPackage(body []byte, lookup func(string) *Entity) (unpacked, error) {
	var u unpacked
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return u, fmt.Errorf("open the package: %w", err)
	}
	files := map[string]*zip.File{}
	for _, f := range z.File {
		files[strings.ToLower(f.Name)] = f
	}
	var h packageHeader
	if err := readXML(files, headerName, &h); err != nil {
		return u, err
	}
	if h.Type != "DefinitionGroup" {
		return u, fmt.Errorf("%s: package type is %q", headerName, h.Type)
	}
	var m manifest
	if err := readXML(files, manifestName, &m); err != nil {
		return u, err
	}
	if len(m.Entities) == 0 {
		return u, fmt.Errorf("%s: no entity", manifestName)
	}
	u.file = m.Entities[0].Input
	for _, e := range m.Entities {
		u.entities = append(u.entities, e.Name)
	}
	for _, e := range m.Entities {
		known := lookup(e.Name)
		if known == nil {
			return u, fmt.Errorf("entity %s does not exist in the target environment", e.Name)
		}
		data, err := readEntry(files, e.Input)
		if err != nil {
			return u, err
		}
		if len(e.Maps) == 0 {
			continue // nothing is mapped: imported "successfully", with zero records
		}
		if !readable(e.Form) {
			if len(data) == 0 {
				return u, errEmpty
			}
			continue // workbooks and the like are not checked
		}
		got := inspect(known, data)
		if got.broken != nil {
			return u, fmt.Errorf("%s: %w", e.Input, got.broken)
		}
		u.records += got.records
		u.errors = append(u.errors, got.errors...)
	}
	return u, nil
}

// readable reports whether content.go reads files of a source format.
func readable(format string) bool {
	f := strings.ToUpper(format)
	return strings.HasPrefix(f, "CSV") || strings.HasPrefix(f, "XML")
}

func readXML(files map[string]*zip.File, name string, v any) error {
	data, err := readEntry(files, name)
	if err != nil {
		return err
	}
	text, err := decode(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // decode made it UTF-8 already
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// errNotAtRoot is the package that was zipped with its folder.
var errNotAtRoot = errors.New("not at the root of the package")

func readEntry(files map[string]*zip.File, name string) ([]byte, error) {
	f := files[strings.ToLower(name)]
	if f == nil || name == "" {
		return nil, fmt.Errorf("%q: %w", name, errNotAtRoot)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = r.Close() }() // reading to the end has checked the sum
	data, err := io.ReadAll(io.LimitReader(r, maxEntry+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(data) > maxEntry {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxEntry)
	}
	return data, nil
}
