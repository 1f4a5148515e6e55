package deadletter

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"fnobridge/internal/contract"
	"fnobridge/internal/letter"
)

// A dead letter that another program made is listed under the entity and company that the lane would have read.
func TestTheSessionIsReadAsTheLaneReadsIt(t *testing.T) {
	for session, want := range map[string][2]string{
		"Customers":               {"Customers", ""},
		"usmf/Customers":          {"Customers", "usmf"},
		"Terms / conditions":      {"Terms / conditions", ""},
		"usmf/Terms / conditions": {"Terms / conditions", "usmf"},
		"longer/Customers":        {"longer/Customers", ""},
	} {
		m := view(contract.Source{Queue: "q"}, &azservicebus.ReceivedMessage{SessionID: &session})
		if got := [2]string{m.Entity, m.Company}; got != want {
			t.Errorf("session %q: %q, want %q", session, got, want)
		}
	}
}

// What the bridge recorded wins over what the producer said, and that over the session.
func TestWhatTheBridgeRecordedWins(t *testing.T) {
	session := "usmf/Customers"
	m := view(contract.Source{Queue: "q"}, &azservicebus.ReceivedMessage{
		SessionID:             &session,
		ApplicationProperties: map[string]any{letter.PropEntity: "Recorded", "entity": "Said", "company": "dat"},
	})
	if m.Entity != "Recorded" || m.Company != "dat" {
		t.Errorf("entity %q, company %q", m.Entity, m.Company)
	}
}
