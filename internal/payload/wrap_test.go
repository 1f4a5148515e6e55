package payload

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/failure"
)

// aTemplate writes a template to a file.
func aTemplate(t testing.TB, pairs ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "template.zip")
	if err := os.WriteFile(file, []byte(zipOf(t, pairs...)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// unzip returns the entries of a package, in order.
func unzip(t testing.TB, content string) (names []string, entries map[string]string) {
	t.Helper()
	z, err := zip.NewReader(strings.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	entries = map[string]string{}
	for _, f := range z.File {
		body, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		names, entries[f.Name] = append(names, f.Name), string(b)
	}
	return names, entries
}

func TestARawFileBecomesAPackage(t *testing.T) {
	s := storagetest.New(t)
	for _, e := range []encoding{encodingUTF8, encodingUTF8BOM, encodingUTF16LE, encodingUTF16BE} {
		for _, inline := range []bool{true, false} {
			t.Run(fmt.Sprintf("encoding %d inline %v", e, inline), func(t *testing.T) {
				file := aTemplate(t,
					"PackageHeader.xml", string(encodeText(aHeader, e)),
					"Manifest.xml", string(encodeText(aManifest("Customer groups", "Customer groups.csv"), e)),
					"Customer groups.csv", "old data", "left over.csv", "older data", "Resources/logo.png", "png")
				data := strings.Repeat("CUSTGROUP,NAME\r\n10,Größe\r\n", 1000)
				source := Source{Body: []byte(data), FileName: `C:\export\groups & more 2026.csv`, Entity: "Customer groups", SHA256: sumOf(data)}
				rule := Rule{Package: true, Template: file, Containers: []string{s.URL() + "/inbound"}}
				if !inline {
					source.DataRef, source.Body = s.Upload("/inbound/raw.csv", []byte(data)), nil
				}
				o := newOpener(t)
				p, err := o.Open(t.Context(), source, rule)
				if err != nil {
					t.Fatal(err)
				}
				out := readAll(t, p)
				if int64(len(out)) != p.Size() || readAll(t, p) != out {
					t.Error("size or second reading differ")
				}
				names, entries := unzip(t, out)
				if want := []string{"PackageHeader.xml", "Resources/logo.png", "Manifest.xml", "groups & more 2026.csv"}; !slices.Equal(names, want) {
					t.Errorf("entries %q, want %q", names, want)
				}
				if entries["groups & more 2026.csv"] != data || entries["Resources/logo.png"] != "png" || entries["PackageHeader.xml"] != string(encodeText(aHeader, e)) {
					t.Error("an entry is not what it should be")
				}
				if want := string(encodeText(aManifest("Customer groups", "groups &amp; more 2026.csv"), e)); entries["Manifest.xml"] != want {
					t.Errorf("manifest %q, want %q", entries["Manifest.xml"], want)
				}
				if err := validate(strings.NewReader(out), p.Size(), "Customer groups"); err != nil {
					t.Errorf("the result is no package: %v", err)
				}
				if left, err := os.ReadDir(o.tempDir); err != nil || len(left) != 0 {
					t.Errorf("left behind while open: %v %v", left, err)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestTheSameFileMakesTheSamePackage(t *testing.T) {
	rule := Rule{Package: true, Template: aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("A", "a.csv"))}
	var outs []string
	for range 2 {
		p, err := newOpener(t).Open(t.Context(), Source{Body: []byte("x")}, rule)
		if err != nil {
			t.Fatal(err)
		}
		outs = append(outs, readAll(t, p))
	}
	if outs[0] != outs[1] {
		t.Error("two packages of one file differ")
	}
}

func TestTheNameOfTheDataEntry(t *testing.T) {
	tpl, err := readTemplate(aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("A", "from template.csv", "B", "other.csv"), "other.csv", "kept", "from template.csv", "old"), "a")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{
		"":                                "from template.csv",
		".":                               "from template.csv",
		"..":                              "from template.csv",
		"/":                               "_",
		"a.csv":                           "a.csv",
		"../../etc/passwd":                "passwd",
		`..\..\windows\x.csv`:             "x.csv",
		"a\r\nb:<c>|?*\".csv":             "a__b__c_____.csv",
		"Manifest.xml":                    "data-Manifest.xml",
		"packageheader.XML":               "data-packageheader.XML",
		"other.csv":                       "data-other.csv",
		"from template.csv":               "from template.csv",
		strings.Repeat("é", 200) + ".csv": strings.Repeat("é", 73) + ".csv",
		"\xff.csv":                        "_.csv",
	}
	for in, want := range rows {
		if got := tpl.dataName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWhatIsWrongWithATemplate(t *testing.T) {
	rows := map[string]struct{ file, says string }{
		"not there":      {filepath.Join(t.TempDir(), "none.zip"), "no such file"},
		"not a package":  {aTemplate(t, "x", "y"), "PackageHeader.xml is missing"},
		"another entity": {aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("Vendors", "v.csv")), `"Vendors", not "Customer groups"`},
		"no InputFilePath": {aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml",
			strings.Replace(aManifest("Customer groups", "x"), "<InputFilePath>x</InputFilePath>", "", 1)), "InputFilePath"},
		"a second entity without its data": {aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml",
			aManifest("Customer groups", "x.csv", "Vendors", "v.csv")), `names the file "v.csv" for "Vendors"`},
		"an InputFilePath before that of the first entity": {aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml",
			strings.Replace(aManifest("Customer groups", "x.csv"), "<PackageEntityList>", "<Other><InputFilePath/></Other><PackageEntityList>", 1)), `names the file "x.csv"`},
	}
	s := storagetest.New(t)
	ref := s.Upload("/inbound/x", []byte("x"))
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			if err := CheckTemplate(r.file, "Customer groups"); err == nil || !strings.Contains(err.Error(), r.says) {
				t.Errorf("%v", err)
			}
			// It is not the message's fault.
			_, err := newOpener(t).Open(t.Context(), Source{Body: []byte("x"), FileName: "f", Entity: "Customer groups"}, Rule{Package: true, Template: r.file})
			failed(t, err, failure.Retry, failure.PackageInvalid)
			rule := Rule{Package: true, Template: r.file, Containers: []string{s.URL() + "/inbound"}}
			_, err = newOpener(t).Open(t.Context(), Source{DataRef: ref, FileName: "f", Entity: "Customer groups"}, rule)
			failed(t, err, failure.Retry, failure.PackageInvalid)
		})
	}
}

func TestAPackageMadeTooLarge(t *testing.T) {
	s := storagetest.New(t)
	noise := make([]byte, 100_000)
	if _, err := rand.NewChaCha8([32]byte{1}).Read(noise); err != nil {
		t.Fatal(err)
	}
	file := aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("A", "a.csv"))
	rule := Rule{Package: true, Template: file, MaxSize: 3000, Containers: []string{s.URL() + "/inbound"}}
	zeros := bytes.Repeat([]byte("0"), 100_000) // small once it is packed
	for name, inline := range map[string]bool{"inline": true, "claim check": false} {
		open := func(b []byte, sum string) (*Payload, error) {
			if inline {
				return newOpener(t).Open(t.Context(), Source{Body: b, SHA256: sum}, rule)
			}
			return newOpener(t).Open(t.Context(), Source{DataRef: s.Upload("/inbound/a", b), SHA256: sum}, rule)
		}
		_, err := open(noise, "")
		failed(t, err, failure.Reject, failure.PayloadTooLarge)
		_, err = open(zeros, sumOf("else"))
		failed(t, err, failure.Reject, failure.ChecksumMismatch)
		p, err := open(zeros, sumOf(string(zeros)))
		if err != nil {
			t.Fatalf("%s: what counts is the size of the package: %v", name, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoPlaceToSpool(t *testing.T) {
	s := storagetest.New(t)
	o := newOpener(t)
	o.tempDir = filepath.Join(t.TempDir(), "missing")
	rule := Rule{Package: true, Template: aTemplate(t, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("A", "a.csv")), Containers: []string{s.URL() + "/inbound"}}
	_, err := o.Open(t.Context(), Source{DataRef: s.Upload("/inbound/a", []byte("x"))}, rule)
	if f := failed(t, err, failure.Retry, failure.StorageFailed); !strings.Contains(f.Detail, "temporary") {
		t.Errorf("%v", f)
	}
}

func TestSetInputFilePathLeavesTheRestAlone(t *testing.T) {
	rows := map[string]string{
		`<a><InputFilePath>old</InputFilePath><InputFilePath>second</InputFilePath></a>`: `<a><InputFilePath>n&amp;w</InputFilePath><InputFilePath>second</InputFilePath></a>`,
		`<a><InputFilePath /><b/></a>`:                                                     `<a><InputFilePath>n&amp;w</InputFilePath><b/></a>`,
		`<a><InputFilePath/></a>`:                                                          `<a><InputFilePath>n&amp;w</InputFilePath></a>`,
		`<a><InputFilePath i:nil="true"></InputFilePath></a>`:                              `<a><InputFilePath>n&amp;w</InputFilePath></a>`,
		"<a><InputFilePath\ti:nil=\"true\" /></a>":                                         `<a><InputFilePath>n&amp;w</InputFilePath></a>`,
		"<a><InputFilePath\r\n\ti:nil=\"true\" x=\"a/b > c\">old</InputFilePath></a>":      `<a><InputFilePath>n&amp;w</InputFilePath></a>`,
		"<a>\r\n <x:InputFilePath\n>o&lt;ld<!-- c --></x:InputFilePath >\r\n</a>":          "<a>\r\n <x:InputFilePath>n&amp;w</x:InputFilePath>\r\n</a>",
		`<?xml version="1.0" encoding="utf-16"?><a>é<InputFilePath>ö</InputFilePath>ü</a>`: `<?xml version="1.0" encoding="utf-16"?><a>é<InputFilePath>n&amp;w</InputFilePath>ü</a>`,
	}
	for in, want := range rows {
		if got, err := setInputFilePath(in, "n&w"); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	if _, err := setInputFilePath("<a><b/></a>", "x"); err == nil {
		t.Error("no InputFilePath and no error")
	}
}
