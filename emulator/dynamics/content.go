package dynamics

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// An ExecutionError is one entry of GetExecutionErrors.
type ExecutionError struct {
	RecordID     string `json:"RecordId"` // the number of the record in the file, from 1
	Field        string `json:"Field"`
	ErrorMessage string `json:"ErrorMessage"`
}

// errorsKept bounds the execution errors of one import: F&O lists them all, an emulator need not remember 100,000.
const errorsKept = 100

// finding is what reading a file came to.
type finding struct {
	records int
	errors  []ExecutionError
	broken  error // the file cannot be read at all: PreProcessingError
}

// Errors of files that cannot be read, after the words of Microsoft Learn, "Data management error descriptions".
var (
	errEmpty   = errors.New("DMF2053: the file is empty")
	errColumns = errors.New("the columns of the file do not match the mapping")
)

// inspect reads a CSV or XML file by the rules of its entity. Without rules every file is good that is not empty.
func inspect(e *Entity, body []byte) finding {
	if len(body) == 0 {
		return finding{broken: errEmpty}
	}
	if len(e.Fields) == 0 {
		return finding{}
	}
	text, err := decode(body)
	if err != nil {
		return finding{broken: err}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return finding{broken: errEmpty}
	}
	c := &checker{entity: e}
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) {
		err = c.xml(text)
	} else {
		err = c.csv(text)
	}
	if err != nil {
		return finding{broken: err}
	}
	return c.found
}

// decode returns a file as UTF-8: CSV-Unicode is UTF-16LE with a byte order mark.
func decode(b []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(b, []byte{0xEF, 0xBB, 0xBF}):
		b = b[3:]
	case bytes.HasPrefix(b, []byte{0xFF, 0xFE}):
		if len(b)%2 != 0 {
			return nil, errors.New("UTF-16 with an odd number of bytes")
		}
		units := make([]uint16, 0, len(b)/2)
		for i := 2; i < len(b); i += 2 {
			units = append(units, binary.LittleEndian.Uint16(b[i:]))
		}
		return []byte(string(utf16.Decode(units))), nil
	}
	if !utf8.Valid(b) {
		return nil, errors.New("the file is neither UTF-8 nor UTF-16")
	}
	return b, nil
}

// checker holds the records of one file against the rules of their entity.
type checker struct {
	entity *Entity
	found  finding
}

func (c *checker) csv(text []byte) error {
	r := csv.NewReader(bytes.NewReader(text))
	head, err := r.Read()
	if err != nil {
		return fmt.Errorf("read the column names: %w", err)
	}
	columns := map[string]int{}
	for i, name := range head {
		columns[fold(name)] = i
	}
	for _, f := range c.entity.Fields {
		if _, ok := columns[fold(f.Name)]; f.Required && !ok {
			return fmt.Errorf("column %s: %w", f.Name, errColumns)
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read record %d: %w", c.found.records+1, err)
		}
		c.record(func(name string) string {
			if i, ok := columns[fold(name)]; ok {
				return row[i]
			}
			return ""
		})
	}
}

// xml reads <Document><ENTITY>...</ENTITY></Document>, with the fields as elements or as attributes.
func (c *checker) xml(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // decode made it UTF-8 already
	depth, field, rooted := 0, "", false
	var values map[string]string
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			if !rooted {
				return errEmpty
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read record %d: %w", c.found.records+1, err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			depth++
			switch depth {
			case 1:
				rooted = true
			case 2:
				values = map[string]string{}
				for _, a := range t.Attr {
					values[fold(a.Name.Local)] = a.Value
				}
			case 3:
				field = fold(t.Name.Local)
			}
		case xml.CharData:
			if depth == 3 {
				values[field] += string(t)
			}
		case xml.EndElement:
			if depth == 2 {
				c.record(func(name string) string { return values[fold(name)] })
			}
			depth--
		}
	}
}

// record checks one record.
func (c *checker) record(value func(string) string) {
	c.found.records++
	key := c.entity.Key
	if key == "" {
		key = c.entity.Fields[0].Name
	}
	for _, f := range c.entity.Fields {
		v := strings.TrimSpace(value(f.Name))
		why := f.refuse(v)
		if why == "" || len(c.found.errors) == errorsKept {
			continue
		}
		c.found.errors = append(c.found.errors, ExecutionError{
			RecordID: strconv.Itoa(c.found.records), Field: f.Name,
			ErrorMessage: fmt.Sprintf("The value '%s' in field '%s' of record %s '%s' %s.\r\n",
				v, f.Name, key, strings.TrimSpace(value(key)), why),
		})
	}
}

// refuse says what is wrong with a value, or nothing.
func (f Field) refuse(v string) string {
	if v == "" {
		if f.Required {
			return "is missing, the field must be filled in"
		}
		return ""
	}
	if f.Max > 0 && utf8.RuneCountInString(v) > f.Max {
		return fmt.Sprintf("is longer than %d characters", f.Max)
	}
	if len(f.Values) > 0 && !slices.ContainsFunc(f.Values, func(w string) bool { return strings.EqualFold(v, w) }) {
		return "is not found in the related table"
	}
	switch f.Type {
	case Number:
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return "is not a number"
		}
	case Date:
		day, _, _ := strings.Cut(strings.Replace(v, " ", "T", 1), "T")
		if _, err := time.Parse(time.DateOnly, day); err != nil {
			return "is not a valid date"
		}
	case Text:
	}
	return ""
}
