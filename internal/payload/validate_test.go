package payload

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"fnobridge/emulator/storage"
	"fnobridge/emulator/storage/storagetest"
	"fnobridge/internal/failure"
)

func TestPackagesThatFnOWouldTake(t *testing.T) {
	manifest := aManifest("Customer groups", "Customer groups.csv")
	rows := map[string]string{
		"as F&O writes it": aPackage(t),
		"UTF-8":            zipOf(t, "PackageHeader.xml", aHeader, "Manifest.xml", manifest, "Customer groups.csv", "x"),
		"UTF-8 with a mark and a declaration": zipOf(t, "PackageHeader.xml", "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"+aHeader+"\n",
			"Manifest.xml", "\ufeff<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"+manifest, "Customer groups.csv", "x"),
		"UTF-16 with a declaration": zipOf(t, "PackageHeader.xml", string(encodeText(`<?xml version="1.0" encoding="utf-16"?>`+aHeader, encodingUTF16LE)),
			"Manifest.xml", string(encodeText(`<?xml version="1.0" encoding="utf-16"?>`+manifest, encodingUTF16BE)), "Customer groups.csv", "x"),
		"other case and more files": zipOf(t, "packageheader.xml", aHeader, "manifest.xml", manifest, "CUSTOMER GROUPS.CSV", "x", "Resources/a.txt", "y"),
		"several entities":          zipOf(t, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("Customers", "c.csv", " customer Groups ", `Resources\g.csv`), "c.csv", "x", "Resources/g.csv", "y"),
		"a disabled entity":         zipOf(t, "PackageHeader.xml", aHeader, "Manifest.xml", strings.Replace(aManifest("Customer groups", "g.csv", "Old", ""), "<EntityName>Old", "<Disable>Yes</Disable><EntityName>Old", 1), "g.csv", "x"),
	}
	for name, content := range rows {
		t.Run(name, func(t *testing.T) {
			p, err := newOpener(t).Open(t.Context(), Source{Body: []byte(content), Entity: "Customer groups"}, Rule{Package: true})
			if err != nil {
				t.Fatal(err)
			}
			if readAll(t, p) != content {
				t.Error("the package was changed")
			}
		})
	}
}

func TestPackagesThatFnOWouldNotTake(t *testing.T) {
	manifest := aManifest("Customer groups", "g.csv")
	good := func(pairs ...string) string { return zipOf(t, pairs...) }
	whole := aPackage(t)
	rows := map[string]struct{ content, says string }{
		"not a zip":              {"CUSTGROUP;NAME\n", "zip"},
		"half a zip":             {whole[:len(whole)/2], "zip"},
		"an empty zip":           {good(), "PackageHeader.xml is missing"},
		"no header":              {good("Manifest.xml", manifest, "g.csv", "x"), "PackageHeader.xml is missing"},
		"no manifest":            {good("PackageHeader.xml", aHeader, "g.csv", "x"), "Manifest.xml is missing"},
		"in a folder":            {good("p/PackageHeader.xml", aHeader, "p/Manifest.xml", manifest, "p/g.csv", "x"), `in a folder ("p/PackageHeader.xml")`},
		"in a Windows folder":    {good(`p\PackageHeader.xml`, aHeader, `p\Manifest.xml`, manifest), "in a folder"},
		"two manifests":          {good("PackageHeader.xml", aHeader, "Manifest.xml", manifest, "manifest.XML", manifest, "g.csv", "x"), "twice"},
		"broken header":          {good("PackageHeader.xml", aHeader[:50], "Manifest.xml", manifest, "g.csv", "x"), "PackageHeader.xml: not well-formed"},
		"broken manifest":        {good("PackageHeader.xml", aHeader, "Manifest.xml", strings.TrimSuffix(manifest, "</DataManagementPackageManifest>"), "g.csv", "x"), "Manifest.xml: not well-formed"},
		"empty manifest":         {good("PackageHeader.xml", aHeader, "Manifest.xml", "", "g.csv", "x"), "not one root"},
		"text behind the root":   {good("PackageHeader.xml", aHeader, "Manifest.xml", manifest+"x", "g.csv", "x"), "text outside"},
		"two roots":              {good("PackageHeader.xml", aHeader+aHeader, "Manifest.xml", manifest, "g.csv", "x"), "not one root"},
		"another root":           {good("PackageHeader.xml", manifest, "Manifest.xml", manifest, "g.csv", "x"), "want DataManagementPackageHeader"},
		"no entities":            {good("PackageHeader.xml", aHeader, "Manifest.xml", aManifest()), "PackageEntityList is empty"},
		"another entity":         {good("PackageHeader.xml", aHeader, "Manifest.xml", aManifest("Vendors", "g.csv"), "g.csv", "x"), `holds "Vendors", not "Customer groups"`},
		"no data file":           {good("PackageHeader.xml", aHeader, "Manifest.xml", manifest), `names the file "g.csv"`},
		"no InputFilePath":       {good("PackageHeader.xml", aHeader, "Manifest.xml", aManifest("Customer groups", ""), "g.csv", "x"), "no InputFilePath"},
		"UTF-16 without a mark":  {good("PackageHeader.xml", aHeader, "Manifest.xml", string(encodeText(manifest, encodingUTF16LE)[2:]), "g.csv", "x"), "Manifest.xml"},
		"Latin-1":                {good("PackageHeader.xml", aHeader, "Manifest.xml", strings.Replace(manifest, "Customer groups", "Gr\xf6\xdfe", 1), "g.csv", "x"), "neither UTF-8"},
		"half a UTF-16 unit":     {good("PackageHeader.xml", aHeader, "Manifest.xml", string(encodeText(manifest, encodingUTF16LE))+"x", "g.csv", "x"), "odd number"},
		"a manifest like a bomb": {good("PackageHeader.xml", aHeader, "Manifest.xml", strings.Replace(manifest, "<PackageEntityList>", "<PackageEntityList>"+strings.Repeat(" ", maxXML), 1), "g.csv", "x"), "unpacks to more"},
		"an entity bomb":         {good("PackageHeader.xml", `<!DOCTYPE a [<!ENTITY b "bbbb">]><DataManagementPackageHeader>&b;</DataManagementPackageHeader>`, "Manifest.xml", manifest, "g.csv", "x"), "not well-formed"},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			_, err := newOpener(t).Open(t.Context(), Source{Body: []byte(r.content), Entity: "Customer groups"}, Rule{Package: true})
			if f := failed(t, err, failure.Reject, failure.PackageInvalid); !strings.Contains(f.Detail, r.says) || len(f.Detail) > 2000 {
				t.Errorf("detail %q, want %q in it", f.Detail, r.says)
			}
		})
	}
}

func TestAZipOfManyFilesIsNotReadWhole(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range 150_000 {
		if _, err := z.CreateRaw(&zip.FileHeader{Name: fmt.Sprintf("%0100d", i), Method: zip.Store}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	err := validate(bytes.NewReader(b.Bytes()), int64(b.Len()), "")
	if f := failed(t, err, failure.Reject, failure.PackageInvalid); !strings.Contains(f.Detail, "too many files") {
		t.Errorf("%v", f)
	}
}

func TestAClaimCheckedPackageIsValidatedFromItsEdges(t *testing.T) {
	s := storagetest.New(t)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, content := range map[string]string{"PackageHeader.xml": aHeader, "Manifest.xml": aManifest("Customer groups", "g.csv")} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	w, err := z.CreateHeader(&zip.FileHeader{Name: "g.csv", Method: zip.Store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 20<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	rule := Rule{Package: true, Containers: []string{s.URL() + "/inbound"}}
	p, err := newOpener(t).Open(t.Context(), Source{DataRef: s.Upload("/inbound/p.zip", b.Bytes()), Entity: "Customer groups"}, rule)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Requests("")); n > 6 {
		t.Errorf("%d requests to look at a package of %d bytes: %v", n, b.Len(), s.Requests(""))
	}
	if readAll(t, p) != b.String() {
		t.Error("not what is stored")
	}
	_, err = newOpener(t).Open(t.Context(), Source{DataRef: s.Upload("/inbound/q.zip", []byte("not a zip")), Entity: "x"}, rule)
	failed(t, err, failure.Reject, failure.PackageInvalid)

	// Storage that fails in the middle of looking is storage's fault, not the package's.
	ref := s.Upload("/inbound/r.zip", b.Bytes())
	s.Break(storage.Fault{Method: http.MethodGet, Status: http.StatusServiceUnavailable, Code: "ServerBusy"})
	_, err = newOpener(t).Open(t.Context(), Source{DataRef: ref}, rule)
	failed(t, err, failure.Retry, failure.StorageFailed)
}

// A package that F&O itself wrote: FNOBRIDGE_SAMPLE_PACKAGE=path, FNOBRIDGE_SAMPLE_ENTITY=label (optional).
func TestARealPackage(t *testing.T) {
	file := os.Getenv("FNOBRIDGE_SAMPLE_PACKAGE")
	if file == "" {
		t.Skip("FNOBRIDGE_SAMPLE_PACKAGE is not set")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	entity := os.Getenv("FNOBRIDGE_SAMPLE_ENTITY")
	if _, err := newOpener(t).Open(t.Context(), Source{Body: b, Entity: entity}, Rule{Package: true}); err != nil {
		t.Error(err)
	}
	// It also serves as a template, and what comes out is a package again.
	p, err := newOpener(t).Open(t.Context(), Source{Body: []byte("a,b"), FileName: "new.csv", Entity: entity}, Rule{Package: true, Template: file})
	if err != nil {
		t.Fatal(err)
	}
	out := readAll(t, p)
	if err := validate(strings.NewReader(out), int64(len(out)), entity); err != nil {
		t.Error(err)
	}
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(aPackage(f)), "Customer groups")
	f.Add([]byte(zipOf(f, "PackageHeader.xml", aHeader, "Manifest.xml", aManifest("A", "a.csv"), "a.csv", "x")), "A")
	f.Add([]byte("PK\x05\x06"+strings.Repeat("\x00", 18)), "")
	f.Fuzz(func(t *testing.T, b []byte, entity string) {
		if err := validate(bytes.NewReader(b), int64(len(b)), entity); err != nil {
			failed(t, err, failure.Reject, failure.PackageInvalid)
		}
	})
}

func FuzzSetInputFilePath(f *testing.F) {
	f.Add(aManifest("A", "a.csv"), "b.csv")
	f.Add(`<a><InputFilePath i:nil="true" /><b/></a>`, "x&y.csv")
	f.Add(`<x:a xmlns:x="u"><x:InputFilePath
	>old<!-- c --></x:InputFilePath></x:a>`, "é<>")
	f.Fuzz(func(t *testing.T, text, file string) {
		if wellFormed(text, "a") != nil && wellFormed(text, manifestRoot) != nil {
			return
		}
		out, err := setInputFilePath(text, file)
		if err != nil {
			return
		}
		if wellFormed(out, "a") != nil && wellFormed(out, manifestRoot) != nil {
			t.Errorf("%q became %q, which is not well-formed", text, out)
		}
	})
}
