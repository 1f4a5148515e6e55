package servicebus_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"testing"
	"time"

	goamqp "github.com/Azure/go-amqp"
)

// sas signs a resource with the root key's name.
func sas(resource, key string, life time.Duration) string {
	sr, se := url.QueryEscape(resource), fmt.Sprint(time.Now().Add(life).Unix())
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(sr + "\n" + se))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%s&skn=RootManageSharedAccessKey", sr,
		url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil))), se)
}

// putToken shows a token on $cbs and returns the status.
func putToken(t *testing.T, s *goamqp.Session, audience, token string) int32 {
	t.Helper()
	in, err := s.NewSender(t.Context(), "$cbs", nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.NewReceiver(t.Context(), "$cbs",
		&goamqp.ReceiverOptions{TargetAddress: "me", RequestedSenderSettleMode: goamqp.SenderSettleModeSettled.Ptr()})
	if err != nil {
		t.Fatal(err)
	}
	m := &goamqp.Message{
		Value:      token,
		Properties: &goamqp.MessageProperties{MessageID: "1", ReplyTo: new("me")},
		ApplicationProperties: map[string]any{"operation": "put-token", "type": "servicebus.windows.net:sastoken",
			"name": audience},
	}
	if err := in.Send(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	r, err := out.Receive(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := out.Close(t.Context()); err != nil {
		t.Error(err)
	}
	code, _ := r.ApplicationProperties["status-code"].(int32)
	return code
}
