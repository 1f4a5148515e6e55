package dynamics

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func TestEnqueueAddressing(t *testing.T) {
	b := begin(t, nil)
	for name, row := range map[string]struct {
		method, path string
		code         int
	}{
		"bare GUID":       {"POST", enqueuePath(groupsJob, "Customer groups"), 200},
		"braces":          {"POST", enqueuePath("%7B"+groupsJob+"%7D", "Customer groups"), 200},
		"upper case":      {"POST", enqueuePath(strings.ToUpper(groupsJob), "Customer groups"), 200},
		"unknown job":     {"POST", enqueuePath("11111111-0000-0000-0000-000000000000", "Customer groups"), 404},
		"no GUID":         {"POST", enqueuePath("customers", "Customer groups"), 404},
		"export job":      {"POST", enqueuePath(exportJob, "Customer groups"), 404},
		"GET":             {"GET", enqueuePath(groupsJob, "Customer groups"), 405},
		"unreadable":      {"POST", "/api/connector/enqueue/" + groupsJob + "?entity=%zz", 400},
		"unknown path":    {"POST", "/api/connector/requeue/" + groupsJob, 404},
		"dequeue imports": {"GET", "/api/connector/dequeue/" + groupsJob, 404},
	} {
		if r := b.do(row.method, row.path, goodGroups); r.code != row.code {
			t.Errorf("%s: %d %s, want %d", name, r.code, r.body, row.code)
		}
	}
}

func TestEntityLabelDecidesWhetherAnImportEverEnds(t *testing.T) {
	labels := []string{`Vendors "V2" & co + R+D – Zürich 100%`, "Customer groups"}
	b := begin(t, func(o *Options) { o.Entities = append(o.Entities, Entity{Label: labels[0]}) })
	for _, row := range []struct{ query, want string }{
		{"entity=Customer%20groups", "Processed"},
		{"entity=CUSTOMER%20GROUPS", "Processed"},
		{"entity=Vendors%20%22V2%22%20%26%20co%20%2B%20R%2BD%20%E2%80%93%20Z%C3%BCrich%20100%25", "Processed"},
		{"entity=Customer+groups", "InProcess"}, // a plus is no space
		{"entity=Customers", "InProcess"},
		{"", "InProcess"},
	} {
		r := b.do("POST", "/api/connector/enqueue/"+groupsJob+"?"+row.query, goodGroups)
		if r.code != 200 {
			t.Errorf("%s: %d, want 200 even for labels that do not exist", row.query, r.code)
			continue
		}
		id := strings.Trim(r.body, `"`)
		if got := b.status(id); got != "Enqueued" {
			t.Errorf("%s: %s at first, want Enqueued", row.query, got)
		}
		b.clock.Advance(1000 * time.Hour)
		if got := b.status(id); got != row.want {
			t.Errorf("%s: %s in the end, want %s", row.query, got, row.want)
		}
	}
	for _, i := range b.Imports() {
		if (i.Outcome == NeverEnds) != i.EndedAt.IsZero() {
			t.Errorf("%q: outcome %s, ended %v", i.Entity, i.Outcome, i.EndedAt)
		}
	}
}

func TestAPlusIsNoSpaceWhereEveryLabelIsKnown(t *testing.T) {
	b := begin(t, func(o *Options) { o.AnyEntity = true })
	for query, want := range map[string]string{"A+B": NeverEnds, "A%2BB": "Processed", "A%20B": "Processed"} {
		id := strings.Trim(b.do("POST", "/api/connector/enqueue/"+groupsJob+"?entity="+query, "x").body, `"`)
		if got := b.import1(id).Outcome; got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		b.clock.Advance(time.Hour)
	}
}

func TestErrorsOfAnImportAreBounded(t *testing.T) {
	b := begin(t, nil)
	id := b.enqueue(groupsJob, "Customer groups", "CUSTOMERGROUPID,CREDITLIMIT\n"+strings.Repeat("1,x\n", 2*errorsKept))
	if i := b.import1(id); len(i.Errors) != errorsKept || i.Records != 2*errorsKept {
		t.Errorf("%d errors of %d records kept, want %d of %d", len(i.Errors), i.Records, errorsKept, 2*errorsKept)
	}
}

func TestCompanyCountsOnlyWhereTheJobSaysSo(t *testing.T) {
	b := begin(t, func(o *Options) {
		o.Companies = []string{"USMF", "DEMF"}
		o.Jobs[3].CompanyFromMessage = true
		o.Jobs[0].Company = "demf"
	})
	fixed := b.enqueue(groupsJob, "Vendors V2", "x")
	given := b.enqueue(orderedJob, "Vendors V2", "x")
	wrong := strings.Trim(b.do("POST", "/api/connector/enqueue/"+orderedJob+"?entity=Vendors%20V2&company=zzzz",
		"x").body, `"`)
	b.clock.Advance(time.Hour)
	for id, want := range map[string][2]string{fixed: {"demf", "Processed"}, given: {"usmf", "Processed"},
		wrong: {"zzzz", "PreProcessingError"}} {
		if i := b.import1(id); i.Company != want[0] || i.Status != want[1] {
			t.Errorf("company %q, %s; want %v", i.Company, i.Status, want)
		}
	}
}

func TestOrderedJobQueuesItsFiles(t *testing.T) {
	b := begin(t, nil)
	for range 3 {
		b.enqueue(orderedJob, "Customer groups", goodGroups)
	}
	for n, i := range b.Imports() {
		if want := start.Add(time.Duration(n+1) * 10 * time.Second); i.Outcome != "Processed" || !i.EndedAt.Equal(want) {
			t.Errorf("import %d: %s at %v, want Processed at %v", n, i.Outcome, i.EndedAt, want)
		}
	}
}

func TestCompaniesApart(t *testing.T) {
	for _, apart := range []bool{false, true} {
		b := begin(t, func(o *Options) { o.CompaniesApart, o.Jobs[0].CompanyFromMessage = apart, true })
		b.do("POST", "/api/connector/enqueue/"+groupsJob+"?entity=Vendors%20V2&company=usmf", "x")
		b.do("POST", "/api/connector/enqueue/"+groupsJob+"?entity=Vendors%20V2&company=demf", "x")
		if got := b.Imports()[1].Outcome == "Processed"; got != apart {
			t.Errorf("companies apart %v: second company processed %v", apart, got)
		}
	}
}

func TestSizeLimit(t *testing.T) {
	b := begin(t, func(o *Options) { o.MaxBody, o.Inspect = 1000, 100 })
	for size, want := range map[int]int{1000: 200, 1001: 413, 2000: 413} {
		if r := b.do("POST", enqueuePath(groupsJob, "Vendors V2"), strings.Repeat("x", size)); r.code != want {
			t.Errorf("%d bytes: %d, want %d", size, r.code, want)
		}
	}
	body := &counting{r: strings.NewReader(strings.Repeat("x", 1001))}
	if code := b.askFirst(body, 1001); code != 413 || body.n != 0 {
		t.Errorf("a client that asks first: %d after %d bytes, want 413 after none", code, body.n)
	}
	text := strings.Repeat("y", 1000)
	sum := sha256.Sum256([]byte(text))
	if i := b.import1(b.enqueue(groupsJob, "Vendors V2", text)); i.SHA256 != hex.EncodeToString(sum[:]) || i.Size != 1000 {
		t.Errorf("recorded %s, %d bytes; want %x, 1000", i.SHA256, i.Size, sum)
	}
}

func TestDefaultSizeLimitIsThatOfIIS(t *testing.T) {
	var o Options
	if err := o.check(); err != nil || o.MaxBody != 30_000_000 {
		t.Errorf("limit %d (%v), want 30,000,000", o.MaxBody, err)
	}
}

func TestContentDecides(t *testing.T) {
	b := begin(t, nil)
	attributes := `<?xml version="1.0" encoding="utf-8"?><Document>` +
		`<CUSTGROUP CUSTOMERGROUPID="10" VALIDFROM="2026-01-01"/></Document>`
	elements := `<Document><G><CUSTOMERGROUPID>10</CUSTOMERGROUPID><CREDITLIMIT>1e3</CREDITLIMIT></G><G>` +
		`<CUSTOMERGROUPID>20</CUSTOMERGROUPID></G></Document>`
	for name, row := range map[string]struct {
		body    string
		outcome string
		records int
		errors  []string
	}{
		"good":           {goodGroups, "Processed", 2, nil},
		"marked UTF-8":   {"\ufeff" + goodGroups, "Processed", 2, nil},
		"CSV-Unicode":    {string(utf16le(strings.ReplaceAll(goodGroups, "\n", "\r\n"))), "Processed", 2, nil},
		"attributes":     {attributes, "Processed", 1, nil},
		"elements":       {elements, "Processed", 2, nil},
		"UTF-16 XML":     {string(utf16le(`<?xml version="1.0" encoding="utf-16"?>` + elements)), "Processed", 2, nil},
		"head only":      {"CUSTOMERGROUPID\n", "Processed", 0, nil},
		"no record":      {"<Document/>", "Processed", 0, nil},
		"empty":          {"", "PreProcessingError", 0, nil},
		"blank":          {" \r\n", "PreProcessingError", 0, nil},
		"missing column": {"DESCRIPTION\nx\n", "PreProcessingError", 0, nil},
		"ragged":         {"CUSTOMERGROUPID,DESCRIPTION\n10\n", "PreProcessingError", 0, nil},
		"open XML":       {"<Document><G>", "PreProcessingError", 0, nil},
		"no root":        {"<!-- nothing -->", "PreProcessingError", 0, nil},
		"Latin-1":        {"CUSTOMERGROUPID,DESCRIPTION\n10,K\xf6ln\n", "PreProcessingError", 0, nil},
		"odd UTF-16":     {"\xff\xfeC", "PreProcessingError", 0, nil},
		"not a date": {"CUSTOMERGROUPID,VALIDFROM\n10,2026-01-01\nEU-7,31.02.2026\n", "ProcessedWithErrors", 2,
			[]string{`"RecordId":"2"`, `"Field":"VALIDFROM"`, "'31.02.2026'", "'EU-7'", "not a valid date"}},
		"no such day": {"CUSTOMERGROUPID,VALIDFROM\n10,2026-02-30\n", "ProcessedWithErrors", 1,
			[]string{"not a valid date"}},
		"date with time": {"CUSTOMERGROUPID,VALIDFROM\n10,2026-02-28 12:00:00\n", "Processed", 1, nil},
		"not a number": {"CUSTOMERGROUPID,CREDITLIMIT\n10,many\n", "ProcessedWithErrors", 1,
			[]string{"CREDITLIMIT", "not a number"}},
		"not in table": {"CUSTOMERGROUPID,PAYMENTTERMID\n10,Net99\n", "ProcessedWithErrors", 1,
			[]string{"PAYMENTTERMID", "not found"}},
		"too long": {"CUSTOMERGROUPID\n12345678901\n", "ProcessedWithErrors", 1, []string{"longer than 10"}},
		"nothing in it": {"CUSTOMERGROUPID,DESCRIPTION\n,x\n", "ProcessedWithErrors", 1,
			[]string{"CUSTOMERGROUPID", "missing"}},
		"two bad, one ok": {"CUSTOMERGROUPID,CREDITLIMIT\n1,x\n2,2\n3,y\n", "ProcessedWithErrors", 3,
			[]string{`"RecordId":"1"`, `"RecordId":"3"`}},
	} {
		id := b.enqueue(groupsJob, "Customer groups", row.body)
		b.clock.Advance(time.Hour)
		i := b.import1(id)
		if i.Status != row.outcome || i.Records != row.records {
			t.Errorf("%s: %s with %d records (%s), want %s with %d", name, i.Status, i.Records, i.Detail, row.outcome,
				row.records)
		}
		got := b.action("GetExecutionErrors", "executionId", b.action("GetExecutionIdByMessageId", "_messageId", id))
		if row.errors == nil && got != "[]" {
			t.Errorf("%s: errors %s, want []", name, got)
		}
		for _, want := range row.errors {
			if !strings.Contains(got, want) {
				t.Errorf("%s: errors %s, want %s in them", name, got, want)
			}
		}
	}
	id := b.enqueue(groupsJob, "Vendors V2", "\x00 not looked at,\n,,")
	b.clock.Advance(time.Hour)
	if got := b.status(id); got != "Processed" {
		t.Errorf("an entity without rules: %s, want Processed", got)
	}
}

const ns = ` xmlns:i="http://www.w3.org/2001/XMLSchema-instance"` +
	` xmlns="http://schemas.microsoft.com/dynamics/2015/01/DataManagement"`

const packHeader = `<DataManagementPackageHeader` + ns + `><Description>d</Description><ManifestType>m</ManifestType>` +
	`<PackageType>DefinitionGroup</PackageType><PackageVersion>2</PackageVersion></DataManagementPackageHeader>`

func packManifest(entity, file string, mapped bool) string {
	m := "<EntityMapList />"
	if mapped {
		m = "<EntityMapList><EntityMap><EntityField>CUSTOMERGROUPID</EntityField></EntityMap></EntityMapList>"
	}
	return `<DataManagementPackageManifest` + ns + `><DefinitionGroupName>g</DefinitionGroupName><PackageEntityList>` +
		`<DataManagementPackageEntityData>` + m + `<EntityName>` + entity + `</EntityName><InputFilePath>` + file +
		`</InputFilePath><SourceFormat>CSV</SourceFormat></DataManagementPackageEntityData></PackageEntityList>` +
		`</DataManagementPackageManifest>`
}

func zipped(t *testing.T, files ...string) string {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		data := []byte(files[i+1])
		if strings.HasSuffix(files[i], ".xml") {
			data = utf16le(files[i+1])
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestPackages(t *testing.T) {
	b := begin(t, nil)
	manifest := packManifest("Customer groups", "Customer groups.csv", true)
	for name, row := range map[string]struct {
		body    string
		outcome string
		records int
		detail  string
	}{
		"good": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml", manifest, "Customer groups.csv",
			goodGroups), "Processed", 2, ""},
		"nothing mapped": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml",
			packManifest("Customer groups", "f.csv", false), "f.csv", goodGroups), "Processed", 0, ""},
		"bad record": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml", manifest, "Customer groups.csv",
			"CUSTOMERGROUPID\n\"\"\n"), "ProcessedWithErrors", 1, ""},
		"no zip": {"not a zip", "PreProcessingError", 0, "open the package"},
		"in a folder": {zipped(t, "p/PackageHeader.xml", packHeader, "p/Manifest.xml", manifest,
			"p/Customer groups.csv", goodGroups), "PreProcessingError", 0, "root"},
		"no manifest": {zipped(t, "PackageHeader.xml", packHeader), "PreProcessingError", 0, "Manifest.xml"},
		"data missing": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml", manifest), "PreProcessingError", 0,
			"Customer groups.csv"},
		"unknown entity": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml",
			packManifest("CustGroups", "f.csv", true), "f.csv", "x"), "PreProcessingError", 0, "does not exist"},
		"broken manifest": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml", manifest[:100]),
			"PreProcessingError", 0, "Manifest.xml"},
		"other namespace": {zipped(t, "PackageHeader.xml", strings.ReplaceAll(packHeader, "2015/01", "2011/01"),
			"Manifest.xml", manifest), "PreProcessingError", 0, "PackageHeader.xml"},
		"truncated": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml", manifest, "Customer groups.csv",
			goodGroups)[:300], "PreProcessingError", 0, "open the package"},
		"broken data file": {zipped(t, "PackageHeader.xml", packHeader, "Manifest.xml", manifest, "Customer groups.csv",
			"DESCRIPTION\n"), "PreProcessingError", 0, "CUSTOMERGROUPID"},
	} {
		r := b.do("POST", "/api/connector/enqueue/"+packageJob, row.body)
		b.clock.Advance(time.Hour)
		i := b.import1(strings.Trim(r.body, `"`))
		if i.Status != row.outcome || i.Records != row.records || !strings.Contains(i.Detail, row.detail) {
			t.Errorf("%s: %s with %d records, %q; want %s with %d, %q", name, i.Status, i.Records, i.Detail, row.outcome,
				row.records, row.detail)
		}
		if name == "good" && (i.Entity != "Customer groups" || i.FileName != "Customer groups.csv") {
			t.Errorf("recorded as %q, file %q", i.Entity, i.FileName)
		}
	}
}
