package atom

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// raw sends one request without a client and returns status and body.
func raw(t *testing.T, server *httptest.Server, method, path, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	check(t, err)
	r.Header.Set("Authorization", "skn=root")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := server.Client().Do(r)
	check(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	check(t, err)
	return answer.StatusCode, string(text)
}

func contentOf(description string) string {
	return `<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml">` + description +
		`</content></entry>`
}

// What the JavaScript client writes, and what it needs to find in the answer.
func TestJavaScriptClient(t *testing.T) {
	server, _ := serve(t)
	code, body := raw(t, server, "PUT", "/q?api-version=2021-05",
		contentOf(`<QueueDescription xmlns="`+busSpace+`" xmlns:i="`+instanceSpace+`"><LockDuration>PT30S</LockDuration>`+
			`</QueueDescription>`))
	if code != http.StatusCreated {
		t.Fatal(code, body)
	}
	for _, want := range []string{
		`<CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus">` +
			`<d2p1:ActiveMessageCount>0</d2p1:ActiveMessageCount>`,
		`<EnableExpress>false</EnableExpress>`, `<LockDuration>PT30S</LockDuration>`, `/q?api-version=2021-05</id>`,
		`<EntityAvailabilityStatus>Available</EntityAvailabilityStatus>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("%s is missing in %s", want, body)
		}
	}
	raw(t, server, "PUT", "/t", contentOf(`<TopicDescription/>`))
	raw(t, server, "PUT", "/t/subscriptions/s", contentOf(`<SubscriptionDescription/>`))
	code, body = raw(t, server, "PUT", "/t/subscriptions/s/rules/r",
		contentOf(`<RuleDescription xmlns="`+busSpace+`" xmlns:i="`+instanceSpace+`">`+
			`<Filter p4:type="SqlFilter" xmlns:p4="`+instanceSpace+`"><SqlExpression>a=@p</SqlExpression><Parameters>`+
			`<KeyValueOfstringanyType>`+
			`<Key>@p</Key><Value p4:type="l28:double" xmlns:l28="`+schemaSpace+`">1.5</Value></KeyValueOfstringanyType>`+
			`</Parameters></Filter>`+
			`<Action p4:type="EmptyRuleAction" xmlns:p4="`+instanceSpace+`"></Action><Name>r</Name></RuleDescription>`))
	if code != http.StatusCreated || !strings.Contains(body,
		`<Value i:type="d6p1:double" xmlns:d6p1="http://www.w3.org/2001/XMLSchema">1.5</Value>`) {
		t.Errorf("%d %s", code, body)
	}
	if !strings.Contains(body, "/t/Subscriptions/s/Rules/r</id>") &&
		!strings.Contains(body, "/t/Subscriptions/s/Rules/r?") {
		t.Errorf("the id does not lead to the rule: %s", body)
	}
	code, body = raw(t, server, "GET", "/$Resources/Queues?$top=0", "")
	if code != http.StatusOK || strings.Contains(body, `rel="next"`) {
		t.Errorf("%d %s", code, body)
	}
	raw(t, server, "PUT", "/q2", contentOf(`<QueueDescription/>`))
	_, body = raw(t, server, "GET", "/$Resources/Queues?$top=1", "")
	if !strings.Contains(body, `rel="next"`) || !strings.Contains(body, "%24skip=1") {
		t.Errorf("the next page is not linked: %s", body)
	}
	_, body = raw(t, server, "GET", "/$Resources/Queues?$top=1&$skip=1", "")
	if strings.Contains(body, `rel="next"`) || !strings.Contains(body, ">q2</title>") {
		t.Errorf("the last page: %s", body)
	}
}

func TestUnknownFilterAndActionComeBack(t *testing.T) {
	server, _ := serve(t)
	raw(t, server, "PUT", "/t", contentOf(`<TopicDescription/>`))
	raw(t, server, "PUT", "/t/Subscriptions/s", contentOf(`<SubscriptionDescription/>`))
	filter := `<Filter i:type="NewFilter" x:mark="1"><x:Inner a="&lt;b&gt;">text &amp; more<Deep/></x:Inner></Filter>`
	action := `<Action i:type="NewAction"/>`
	code, body := raw(t, server, "PUT", "/t/Subscriptions/s/Rules/r", contentOf(
		`<RuleDescription xmlns="`+busSpace+`" xmlns:i="`+instanceSpace+`" xmlns:x="urn:x&amp;y">`+
			filter+action+`</RuleDescription>`))
	if code != http.StatusCreated {
		t.Fatal(code, body)
	}
	inner := filter[len(`<Filter`):]
	if !strings.Contains(body, `xmlns:x="urn:x&amp;y"`+inner) || !strings.Contains(body, ` i:type="NewAction"/>`) {
		t.Errorf("not as it was sent: %s", body)
	}
	// What came back can be sent again.
	from, to := strings.Index(body, "<RuleDescription"), strings.Index(body, "</RuleDescription>")
	code, again := raw(t, server, "PUT", "/t/Subscriptions/s/Rules/r", contentOf(body[from:to]+"</RuleDescription>"),
		"If-Match", "*")
	if code != http.StatusOK || !strings.Contains(again, inner) {
		t.Errorf("%d %s", code, again)
	}
}

func TestBadRequests(t *testing.T) {
	server, _ := serve(t)
	raw(t, server, "PUT", "/t", contentOf(`<TopicDescription/>`))
	raw(t, server, "PUT", "/t/Subscriptions/s", contentOf(`<SubscriptionDescription/>`))
	rule := func(filter string) string {
		return contentOf(`<RuleDescription xmlns:i="` + instanceSpace + `">` + filter + `</RuleDescription>`)
	}
	parameter := func(p string) string {
		return rule(`<Filter i:type="SqlFilter"><SqlExpression>1=1</SqlExpression><Parameters>` +
			p + `</Parameters></Filter>`)
	}
	maybeTen := contentOf("<QueueDescription><RequiresSession>maybe</RequiresSession>" +
		"<MaxDeliveryCount>ten</MaxDeliveryCount></QueueDescription>")
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		text                     string
	}{
		{"not XML", "PUT", "/q", "{}", 400, "must be one XML element"},
		{"not closed", "PUT", "/q", "<entry>", 400, "not well-formed"},
		{"crossed", "PUT", "/q", "<entry><content></entry></content>", 400, "not well-formed"},
		{"no content", "PUT", "/q", "<entry/>", 400, "must be an ATOM entry"},
		{"two descriptions", "PUT", "/q", contentOf("<QueueDescription/><QueueDescription/>"), 400, "must be an ATOM entry"},
		{"too deep", "PUT", "/q", strings.Repeat("<a>", 60), 400, "nests deeper than 50"},
		{"too large", "PUT", "/q", contentOf("<QueueDescription>" + strings.Repeat(" ", 300<<10) + "</QueueDescription>"),
			413, "larger than"},
		{"wrong kind", "PUT", "/q", contentOf("<RuleDescription/>"), 400, "must be a TopicDescription"},
		{"wrong kind of subscription", "PUT", "/t/Subscriptions/x", contentOf("<QueueDescription/>"), 400,
			"must be a SubscriptionDescription"},
		{"boolean and number", "PUT", "/q", maybeTen, 400,
			`RequiresSession is not valid: "maybe" is neither true nor false`},
		{"both are named", "PUT", "/q", maybeTen, 400,
			`MaxDeliveryCount is not valid: "ten" is not a 32-bit number`},
		{"status", "PUT", "/q", contentOf("<QueueDescription><Status>Asleep</Status></QueueDescription>"), 400,
			"must be Active, Disabled"},
		{"name", "PUT", "/q!", contentOf("<QueueDescription/>"), 400, "letters, digits"},
		{"time", "PUT", "/q", contentOf("<QueueDescription><AuthorizationRules><AuthorizationRule>" +
			"<CreatedTime>noon</CreatedTime></AuthorizationRule></AuthorizationRules></QueueDescription>"), 400,
			"is not a time"},
		{"value", "PUT", "/t/Subscriptions/s/Rules/r",
			parameter(`<KeyValueOfstringanyType><Key>@a</Key><Value i:type="x:int">1.5</Value></KeyValueOfstringanyType>`), 400,
			`The value of "@a" in Parameters is not valid`},
		{"type of a value", "PUT", "/t/Subscriptions/s/Rules/r",
			parameter(`<KeyValueOfstringanyType><Key>@a</Key><Value i:type="x:blob">1.5</Value></KeyValueOfstringanyType>`), 400,
			"is not known"},
		{"no key", "PUT", "/t/Subscriptions/s/Rules/r",
			parameter(`<KeyValueOfstringanyType/>`), 400,
			"A key or a value is missing"},
		{"skip", "GET", "/$Resources/Queues?$skip=x", "", 400, "for $skip is not valid"},
		{"top", "GET", "/$Resources/Queues?$top=-1", "", 400, "for $top is not valid"},
		{"method", "POST", "/q", "", 405, "POST is not supported"},
		{"method on a list", "DELETE", "/$Resources/Queues", "", 405, "DELETE is not supported"},
		{"rules of a missing subscription", "GET", "/t/Subscriptions/no/Rules/", "", 404, "could not be found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := raw(t, server, c.method, c.path, c.body)
			if code != c.code || !strings.Contains(body, c.text) || !strings.HasPrefix(body, "<Error><Code>") {
				t.Errorf("got %d %s, want %d and %s", code, body, c.code, c.text)
			}
		})
	}
	if code, body := raw(t, server, "GET", "/q", "", "Authorization", ""); code != http.StatusUnauthorized ||
		!strings.Contains(body, "MissingToken") {
		t.Errorf("without a token: %d %s", code, body)
	}
}

func TestKeysAreMadeUpWhenTheyAreMissing(t *testing.T) {
	server, m := serve(t)
	code, body := raw(t, server, "PUT", "/q", contentOf(`<QueueDescription><AuthorizationRules><AuthorizationRule>`+
		`<KeyName>k</KeyName><Rights><AccessRights>Send</AccessRights></Rights></AuthorizationRule></AuthorizationRules>`+
		`</QueueDescription>`))
	if code != http.StatusCreated {
		t.Fatal(code, body)
	}
	q, err := m.Queue("q")
	check(t, err)
	if len(q.AuthorizationRules) != 1 || len(q.AuthorizationRules[0].Key) < 40 {
		t.Errorf("rules %+v", q.AuthorizationRules)
	}
}
