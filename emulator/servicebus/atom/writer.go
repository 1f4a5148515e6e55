package atom

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"fnobridge/emulator/servicebus/entity"
)

const (
	atomSpace     = "http://www.w3.org/2005/Atom"
	busSpace      = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
	countSpace    = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
	schemaSpace   = "http://www.w3.org/2001/XMLSchema"
	instanceSpace = "http://www.w3.org/2001/XMLSchema-instance"
)

// writer writes XML. encoding/xml cannot: the JavaScript client looks for prefixes by name ("i:type", one prefix on
// CountDetails), which a marshaller does not let us choose.
type writer struct{ b bytes.Buffer }

func (w *writer) bytes() []byte { return w.b.Bytes() }

// open begins an element; attributes come in pairs of name and value.
func (w *writer) open(name string, attributes ...string) {
	w.b.WriteString("<" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		w.b.WriteString(" " + attributes[i] + `="`)
		w.b.WriteString(escaped(attributes[i+1]))
		w.b.WriteByte('"')
	}
	w.b.WriteByte('>')
}

func (w *writer) close(name string) { w.b.WriteString("</" + name + ">") }

// quotes are left alone in texts, where they mean nothing: the error texts of the service have them, and clients look
// for these.
var quotes = strings.NewReplacer("&#39;", "'", "&#34;", `"`)

func (w *writer) text(s string) { w.b.WriteString(quotes.Replace(escaped(s))) }

func (w *writer) leaf(name, value string, attributes ...string) {
	w.open(name, attributes...)
	w.text(value)
	w.close(name)
}

// optional writes a leaf unless it would be empty.
func (w *writer) optional(name, value string) {
	if value != "" {
		w.leaf(name, value)
	}
}

func (w *writer) flag(name string, v bool)    { w.leaf(name, strconv.FormatBool(v)) }
func (w *writer) number(name string, n int64) { w.leaf(name, strconv.FormatInt(n, 10)) }

func (w *writer) span(name string, d time.Duration) { w.leaf(name, entity.FormatDuration(d)) }

func (w *writer) time(name string, t time.Time) { w.leaf(name, stamp(t)) }

// stamp is how the service writes times; never is year 1 without a zone.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00"
	}
	return t.UTC().Format("2006-01-02T15:04:05.0000000Z")
}

// description opens the element inside an entry's content.
func (w *writer) description(name string) { w.open(name, "xmlns", busSpace, "xmlns:i", instanceSpace) }

// counts writes the numbers of messages; their prefix and its only attribute are what the JavaScript client reads.
func (w *writer) counts(r Runtime) {
	w.open("CountDetails", "xmlns:d2p1", countSpace)
	w.number("d2p1:ActiveMessageCount", r.Active)
	w.number("d2p1:DeadLetterMessageCount", r.DeadLetter)
	w.number("d2p1:ScheduledMessageCount", r.Scheduled)
	w.number("d2p1:TransferMessageCount", r.Transfer)
	w.number("d2p1:TransferDeadLetterMessageCount", r.TransferDeadLetter)
	w.close("CountDetails")
}

func (w *writer) times(r Runtime) {
	w.time("CreatedAt", r.Created)
	w.time("UpdatedAt", r.Updated)
	w.time("AccessedAt", r.Accessed)
}

func (w *writer) authorization(rules []entity.AuthorizationRule) {
	w.open("AuthorizationRules")
	for _, r := range rules {
		w.open("AuthorizationRule", "i:type", "SharedAccessAuthorizationRule")
		w.leaf("ClaimType", "SharedAccessKey")
		w.leaf("ClaimValue", "None")
		w.open("Rights")
		for _, right := range r.Rights {
			w.leaf("AccessRights", string(right))
		}
		w.close("Rights")
		if !r.CreatedTime.IsZero() {
			w.time("CreatedTime", r.CreatedTime)
		}
		if !r.ModifiedTime.IsZero() {
			w.time("ModifiedTime", r.ModifiedTime)
		}
		w.leaf("KeyName", r.Name)
		w.leaf("PrimaryKey", r.Key)
		w.optional("SecondaryKey", r.SecondaryKey)
		w.close("AuthorizationRule")
	}
	w.close("AuthorizationRules")
}
