package contract

import (
	"cmp"
	"encoding/base64"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// The application properties of a message to the bridge. Each is a string, and optional when the route or the session
// ID says the same.
const (
	PropEntity   = "entity"
	PropCompany  = "company"
	PropDataRef  = "dataref" // the address of the blob that holds the file, for a message without a body
	PropFileName = "filename"
	PropSHA256   = "sha256" // of the file, in hex
	// PropKey holds the message ID of the message's first life. A copy has it, such as a resubmitted dead letter: the copy
	// itself needs a new message ID, because a queue with duplicate detection would drop the old one.
	PropKey = "fnobridge-message-id"
)

// A Message is what a message says about its file.
type Message struct {
	Pair           // by its properties, else by its session ID
	Key     string // recognises the file when it comes again
	File    string
	DataRef string
	SHA256  string
}

// Read reads the contract of a message that came from the named source. Its error is a *failure.Failure that rejects
// the message: a property has a wrong type. What can be read is in the Message all the same, for the event and the dead
// letter.
func Read(source string, m *azservicebus.ReceivedMessage) (Message, error) {
	var bad error
	text := func(name string) string {
		v := m.ApplicationProperties[name]
		s, ok := v.(string)
		if !ok && v != nil && bad == nil {
			bad = reject("application property %q is a %T, it must be a string", name, v)
		}
		return s
	}
	out := Message{Key: cmp.Or(text(PropKey), MessageID(m), place(source, m))}
	out.Pair = Pair{Entity: text(PropEntity), Company: text(PropCompany)}.Or(PairOfSession(SessionOf(m)))
	out.DataRef, out.File, out.SHA256 = text(PropDataRef), text(PropFileName), text(PropSHA256)
	return out, bad
}

// Key returns the key of a message that came from the named source, whatever else is wrong with it.
func Key(source string, m *azservicebus.ReceivedMessage) string {
	out, _ := Read(source, m) // the key is there with an error, too
	return out.Key
}

// SessionOf returns the session ID of a message, "" when it has none.
func SessionOf(m *azservicebus.ReceivedMessage) string {
	if m.SessionID == nil {
		return ""
	}
	return *m.SessionID
}

// MessageID returns the message ID, also one that is not text: a number, a UUID, bytes.
func MessageID(m *azservicebus.ReceivedMessage) string {
	if m.MessageID != "" || m.RawAMQPMessage == nil || m.RawAMQPMessage.Properties == nil {
		return m.MessageID
	}
	switch id := m.RawAMQPMessage.Properties.MessageID.(type) {
	case nil:
		return ""
	case []byte:
		return base64.StdEncoding.EncodeToString(id)
	default:
		return fmt.Sprint(id)
	}
}

// place names a message without any ID by where it is, which does not change while it waits.
func place(source string, m *azservicebus.ReceivedMessage) string {
	if m.SequenceNumber == nil {
		return source
	}
	return fmt.Sprintf("%s#%d", source, *m.SequenceNumber)
}
