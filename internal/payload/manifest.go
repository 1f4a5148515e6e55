package payload

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The names and roots of the two files that make a zip a data package.
// Source: Microsoft Learn, "Data management package"; files written by F&O.
const (
	headerName   = "PackageHeader.xml"
	headerRoot   = "DataManagementPackageHeader"
	manifestName = "Manifest.xml"
	manifestRoot = "DataManagementPackageManifest"
)

// A manifest is what we read of Manifest.xml.
type manifest struct {
	Entities []manifestEntity `xml:"PackageEntityList>DataManagementPackageEntityData"`
}

type manifestEntity struct {
	Name          string `xml:"EntityName"` // the label
	InputFilePath string `xml:"InputFilePath"`
	Disable       string `xml:"Disable"`
}

func (e manifestEntity) disabled() bool {
	d := strings.TrimSpace(e.Disable)
	return strings.EqualFold(d, "yes") || strings.EqualFold(d, "true")
}

func sameName(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }

// An encoding is how an XML file of a package is written.
type encoding int

const (
	encodingUTF8 encoding = iota
	encodingUTF8BOM
	encodingUTF16LE // with a byte order mark: what F&O writes
	encodingUTF16BE // with a byte order mark
)

// decodeText returns the text of an XML file as UTF-8 without a byte order mark.
func decodeText(b []byte) (string, encoding, error) {
	switch {
	case bytes.HasPrefix(b, []byte{0xef, 0xbb, 0xbf}):
		return checkUTF8(b[3:], encodingUTF8BOM)
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return decodeUTF16(b[2:], binary.LittleEndian, encodingUTF16LE)
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return decodeUTF16(b[2:], binary.BigEndian, encodingUTF16BE)
	default:
		return checkUTF8(b, encodingUTF8)
	}
}

func checkUTF8(b []byte, e encoding) (string, encoding, error) {
	if !utf8.Valid(b) {
		return "", e, errors.New("neither UTF-8 nor UTF-16 with a byte order mark")
	}
	return string(b), e, nil
}

func decodeUTF16(b []byte, order binary.ByteOrder, e encoding) (string, encoding, error) {
	if len(b)%2 != 0 {
		return "", e, errors.New("UTF-16 with an odd number of bytes")
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units)), e, nil
}

// encodeText is the inverse of decodeText.
func encodeText(s string, e encoding) []byte {
	var order binary.AppendByteOrder
	switch e {
	case encodingUTF8:
		return []byte(s)
	case encodingUTF8BOM:
		return append([]byte{0xef, 0xbb, 0xbf}, s...)
	case encodingUTF16LE:
		order = binary.LittleEndian
	case encodingUTF16BE:
		order = binary.BigEndian
	}
	units := utf16.Encode([]rune(s))
	b := order.AppendUint16(make([]byte, 0, 2*len(units)+2), 0xfeff)
	for _, u := range units {
		b = order.AppendUint16(b, u)
	}
	return b
}

// newDecoder returns an XML decoder for decoded text, whatever encoding its declaration names.
func newDecoder(text string) *xml.Decoder {
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	return d
}

// wellFormed reads the XML to its end and checks its root.
func wellFormed(text, root string) error {
	d := newDecoder(text)
	depth, roots := 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("not well-formed: %w", err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if t.Name.Local != root {
					return fmt.Errorf("its root is %.100q, want %s", t.Name.Local, root)
				}
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && strings.TrimSpace(string(t)) != "" {
				return errors.New("text outside its root")
			}
		}
	}
	if roots != 1 {
		return errors.New("not one root element")
	}
	return nil
}

// parseManifest reads the text of Manifest.xml.
func parseManifest(text string) (*manifest, error) {
	if err := wellFormed(text, manifestRoot); err != nil {
		return nil, err
	}
	var m manifest
	if err := newDecoder(text).Decode(&m); err != nil {
		return nil, fmt.Errorf("not a manifest: %w", err)
	}
	if len(m.Entities) == 0 {
		return nil, errors.New("its PackageEntityList is empty")
	}
	return &m, nil
}

// setInputFilePath rewrites the first InputFilePath in the text and leaves every other byte as it is: F&O's serializer
// wants its elements in their order, and knows more of them than we do.
func setInputFilePath(text, file string) (string, error) {
	d := newDecoder(text)
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err != nil {
			return "", fmt.Errorf("no InputFilePath: %w", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "InputFilePath" {
			continue
		}
		tag := text[before:d.InputOffset()]
		if err := d.Skip(); err != nil {
			return "", fmt.Errorf("InputFilePath: %w", err)
		}
		after := text[d.InputOffset():]
		name := strings.TrimPrefix(tag, "<")
		name = name[:strings.IndexAny(name, " \t\r\n/>")] // attributes (i:nil="true") would contradict the content
		var content strings.Builder
		if err := xml.EscapeText(&content, []byte(file)); err != nil {
			return "", fmt.Errorf("InputFilePath: %w", err)
		}
		return text[:before] + "<" + name + ">" + content.String() + "</" + name + ">" + after, nil
	}
}
